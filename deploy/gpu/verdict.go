package gpu

import (
	"fmt"
	"strings"
	"unicode"
)

// Level is how a verdict comes out.
type Level string

// The levels, the best first.
const (
	OK      Level = "ok"
	Warn    Level = "warn"
	Unknown Level = "unknown" // a fact is missing, or cannot be relied on
	Refuse  Level = "refuse"
)

var order = map[Level]int{OK: 0, Warn: 1, Unknown: 2, Refuse: 3}

// Verdict is whether an image runs on all nodes that it may come to.
type Verdict struct {
	Level Level `json:"level"`
	// Reason in one line: what is needed, what the nodes have, what to do.
	Reason string `json:"reason"`
	// Remarks are all that speaks against it, the gravest first.
	Remarks []Remark `json:"remarks,omitempty"`
}

// Remark is one thing that speaks against an image, and the nodes where.
type Remark struct {
	Level Level `json:"level"`
	// Needs is what the image or its environment needs.
	Needs string `json:"needs"`
	// Has is what the nodes have; empty for one that is not about nodes.
	Has    string   `json:"has,omitempty"`
	Nodes  []string `json:"nodes,omitempty"`
	Remedy string   `json:"remedy,omitempty"`
}

// String is the remark in one line.
func (r Remark) String() string {
	var parts []string
	if r.Needs != "" {
		parts = append(parts, r.Needs)
	}
	if len(r.Nodes) > 0 {
		parts = append(parts, nodes(r.Nodes)+" "+r.verb())
	}
	if r.Remedy != "" {
		parts = append(parts, r.Remedy)
	}
	return strings.Join(parts, "; ")
}

// verb is what the nodes have, with the verb bent to their number. It begins
// with the verb in the plural.
func (r Remark) verb() string {
	if len(r.Nodes) > 1 {
		return r.Has
	}
	verb, rest, _ := strings.Cut(r.Has, " ")
	if verb == "have" {
		return "has " + rest
	}
	return verb + "s " + rest
}

// maxNames is how many nodes are named in a line.
const maxNames = 6

func nodes(names []string) string {
	if len(names) == 1 {
		return "node " + names[0]
	}
	if len(names) > maxNames {
		return fmt.Sprintf("nodes %s and %d more", strings.Join(names[:maxNames-1], ", "), len(names)-maxNames+1)
	}
	last := len(names) - 1
	return fmt.Sprintf("nodes %s and %s", strings.Join(names[:last], ", "), names[last])
}

// maxLine is how long a reason may be, in runes.
const maxLine = 1000

// line is text that came from outside as one line.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > maxLine {
		return string(runes[:maxLine-1]) + "…"
	}
	return text
}
