package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/lab-layers/lab-layers/layers"
)

// format is the value of -o.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }
func (f *format) json() bool     { return *f == "json" }
func (f *format) Set(s string) error {
	if s != "table" && s != "json" {
		return fmt.Errorf("must be table or json")
	}
	*f = format(s)
	return nil
}

// printJSON writes a line of JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(inertJSON{w})
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// inertJSON writes JSON, in which nothing then plays with a terminal. What Go's
// encoder leaves as it is of that stands within strings.
type inertJSON struct{ io.Writer }

func (w inertJSON) Write(text []byte) (int, error) {
	var escaped strings.Builder
	for _, r := range string(text) {
		if plays(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	if _, err := io.WriteString(w.Writer, escaped.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// table writes rows with aligned columns.
func table(w io.Writer, rows ...[]string) error {
	t := tabwriter.NewWriter(w, 0, 0, len(between), ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = oneLine(cell)
		}
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// printPlan shows a plan to people; explain adds every reason.
func printPlan(w io.Writer, plan *layers.Plan, explain bool) error {
	rows := [][]string{{"LAYER", "KIND", "STEP", "KEY", "WHY"}}
	starred := false
	for _, l := range plan.Layers {
		key := shortKey(l.Key)
		if l.ByReference() {
			key, starred = key+"*", true
		}
		rows = append(rows, []string{string(l.Name), string(l.Kind), string(l.Step), key, why(l)})
	}
	if err := table(w, rows...); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d of %d layers to build\n", plan.Builds(), len(plan.Layers))
	if starred {
		fmt.Fprintf(w, "* counts an image from outside by its reference; an agent looks it up, and has another key\n")
	}
	if !explain {
		return nil
	}
	for _, l := range plan.Layers {
		if len(l.Reasons)+len(l.Notes) == 0 && l.Fault == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", l.Name)
		if l.Fault != "" {
			fmt.Fprintf(w, "  fault: %s\n", oneLine(l.Fault))
		}
		for _, r := range l.Reasons {
			fmt.Fprintf(w, "  %s: %s\n", r.Kind, oneLine(r.Detail))
		}
		if from := l.RebuildFrom; from != nil {
			fmt.Fprintf(w, "  rebuilds from %s:%d: %s\n", oneLine(from.File), from.Line, oneLine(from.Text))
		}
		for _, note := range l.Notes {
			fmt.Fprintf(w, "  note: %s\n", oneLine(note))
		}
	}
	return nil
}

// why is the first reason of a step, in a few words.
func why(l *layers.PlannedLayer) string {
	switch {
	case l.Fault != "":
		return "fault: " + cut(l.Fault, 70)
	case l.Step == layers.Absent:
		return "the commit has no " + l.Dockerfile
	case l.Step == layers.Reuse || len(l.Reasons) == 0:
		return ""
	case len(l.ChangedPaths) > 0 && l.Reasons[0].Kind == layers.ReasonPath:
		return cut(strings.Join(l.ChangedPaths, ", "), 70)
	}
	return cut(string(l.Reasons[0].Kind)+": "+l.Reasons[0].Detail, 70)
}

func shortKey(key layers.Key) string {
	return fmt.Sprintf("%.12s", strings.TrimPrefix(string(key), "sha256:"))
}

// cut shortens text to one line of n characters.
func cut(text string, n int) string {
	text = oneLine(text)
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

// oneLine is text as it may stand in a line of output.
func oneLine(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(text))
}

// printable takes out of what repositories and builds say what plays with a
// terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if plays(r) {
			return -1
		}
		return r
	}, text)
}

// plays reports whether a character is no text to a terminal: it controls it, or
// changes the order or the line of others.
func plays(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029')
}
