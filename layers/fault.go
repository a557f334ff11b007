package layers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/util/suggest"
)

// String is file:line:column, as far as they are known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// String is one line: where, what, and what to do about it.
func (f Fault) String() string {
	text := f.Problem
	if where := f.Position.String(); where != "" {
		text = where + ": " + text
	}
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	return text
}

// Error is one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Bounds of what one file can make us say and compute.
const (
	maxFaults      = 1000
	maxSuggestions = 32   // of one list of faults
	maxOptions     = 1000 // that a suggestion is looked for among
	maxQuoted      = 80   // characters of somebody's text in a message
)

// faultList collects faults.
type faultList struct {
	all       Faults
	left      int // faults over maxFaults
	suggested int
}

func (l *faultList) add(at Position, problem, remedy string) {
	if len(l.all) == maxFaults {
		l.left++
		return
	}
	l.all = append(l.all, Fault{Position: at, Problem: problem, Remedy: remedy})
}

// sorted returns the faults in order, each once.
func (l *faultList) sorted() Faults {
	slices.SortStableFunc(l.all, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Problem, b.Problem),
		)
	})
	faults := slices.Compact(l.all)
	if l.left > 0 {
		last := faults[len(faults)-1].Position
		faults = append(faults, Fault{Position: last, Problem: fmt.Sprintf("there are %d more faults", l.left), Remedy: "mend those above first"})
	}
	return faults
}

// didYouMean is the remedy that names the option closest to a word, or the
// other remedy if none is close.
func (l *faultList) didYouMean(word string, options []string, otherwise string) string {
	if l.suggested == maxSuggestions {
		return otherwise
	}
	l.suggested++
	if match, ok := Nearest(word, options); ok {
		return "did you mean " + quoted(match) + "?"
	}
	return otherwise
}

// Nearest finds the option that somebody who wrote a word probably meant. There is
// none for a word, or among options, too long to be compared.
func Nearest(word string, options []string) (string, bool) {
	if len(options) > maxOptions || len(word) > maxQuoted {
		return "", false
	}
	var near []string
	for _, option := range options {
		if strings.EqualFold(option, word) && option != word {
			return option, true
		}
		if n := len(option) - len(word); -3 < n && n < 3 {
			near = append(near, option)
		}
	}
	return suggest.Search(word, near, true)
}

// quoted is somebody's text in a message: in quotes, escaped and cut.
func quoted(text string) string {
	if utf8.RuneCountInString(text) > maxQuoted {
		text = string([]rune(text)[:maxQuoted]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
