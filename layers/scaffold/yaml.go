package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// YAML writes the proposal as a lab-layers.yaml, grounds and doubts as
// comments. Dockerfiles that were left out stand at the end, commented out. Of
// a proposal without any layer it is not yet a valid configuration.
func (p *Proposal) YAML() []byte {
	w := &yamlWriter{}
	w.comment("", "The layers of this repository: every image that it builds, and on which other")
	w.comment("", "it stands. This is a proposal made from the Dockerfiles. Lines with \"?\" are")
	w.comment("", "doubts: settle them, and take the comments out.")
	for _, note := range p.Notes {
		w.comment("", "? "+note)
	}
	w.line("version: 1")
	if len(p.Layers) == 0 {
		w.comment("", "? No Dockerfile was found that a layer could be made of.")
		w.line("layers: []")
	} else {
		w.line("layers:")
	}
	for _, l := range p.Layers {
		w.layer("", l)
	}
	if len(p.LeftOut) > 0 {
		w.line("")
		w.comment("  ", "Left out. Take the \"# \" away before a layer's lines to build it too.")
	}
	for _, out := range p.LeftOut {
		w.line("")
		w.comment("  ", out.Dockerfile+" "+out.Reason+".")
		if out.Layer != nil {
			w.layer("# ", *out.Layer)
		}
	}
	return w.Bytes()
}

type yamlWriter struct{ bytes.Buffer }

func (w *yamlWriter) line(text string) { w.WriteString(text + "\n") }

// comment writes one line, whatever characters the text has.
func (w *yamlWriter) comment(indent, text string) {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	w.line(indent + "# " + text)
}

// layer writes one layer; a mark before each line comments it out.
func (w *yamlWriter) layer(mark string, l Layer) {
	if mark == "" {
		w.line("")
		for _, evidence := range l.Evidence {
			w.comment("  ", evidence)
		}
		if l.Parent == "" && l.Image != "" {
			w.comment("  ", "Stands on "+l.Image+", which comes from outside.")
		}
		for _, doubt := range l.Doubts {
			w.comment("  ", "? "+doubt)
		}
	}
	field := func(name, value string) {
		if value != "" {
			w.line("  " + mark + "  " + name + ": " + scalar(value))
		}
	}
	w.line("  " + mark + "- name: " + scalar(string(l.Name)))
	field("kind", string(l.Kind))
	field("parent", string(l.Parent))
	field("from", l.From)
	field("context", l.Context)
	if !dockerfileIsDefault(l.Layer) {
		field("dockerfile", l.Dockerfile)
	}
	field("target", l.Target)
	list := func(name string, ids []string) {
		if len(ids) > 0 {
			quoted := make([]string, len(ids))
			for i, id := range ids {
				quoted[i] = scalar(id)
			}
			w.line("  " + mark + "  " + name + ": [" + strings.Join(quoted, ", ") + "]")
		}
	}
	list("secrets", l.Secrets)
	list("ssh", l.SSH)
	if len(l.Args) > 0 {
		w.line("  " + mark + "  args:")
		for _, name := range slices.Sorted(maps.Keys(l.Args)) {
			w.line(fmt.Sprintf("  %s    %s: %s", mark, scalar(name), scalar(l.Args[name])))
		}
	}
}

// plain are the scalars that need no quotes and cannot be taken for anything
// but a string.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./+-]*$`)

// notStrings are plain words that YAML 1.1 or 1.2 takes for something else.
var notStrings = words("true false yes no on off y n null")

// scalar writes a string. JSON's quoting is YAML's double quotes.
func scalar(s string) string {
	if s == "." || plain.MatchString(s) && !notStrings[strings.ToLower(s)] {
		return s
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // no string fails to marshal
	}
	return string(quoted)
}
