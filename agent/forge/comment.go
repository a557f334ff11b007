package forge

import (
	"fmt"
	"strings"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// mark begins our comments.
const mark = "<!-- lab-layers -->"

// Bounds of a comment, which stays far below the 65,536 characters that GitHub
// takes.
const (
	maxRows   = 50
	maxReason = 200  // characters of a table's cell
	maxLine   = 300  // characters of a line of output
	maxTail   = 20   // lines of output
	maxText   = 1000 // characters of the failing line
)

// comment tells of a run in Markdown.
func comment(r agent.Report, link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n**lab-layers**: %s at %s %s\n", mark, code(short(r.Run.Move.Ref), 100), code(r.Run.Move.New.Short(), 20), word(r.Run.State))
	if link != "" {
		fmt.Fprintf(&b, "([run %d](%s))\n", r.Run.ID, link)
	}
	if summary := summary(r); summary != "" {
		b.WriteString("\n" + summary + "\n")
	}
	b.WriteString(table(r))
	if r.Run.State == agent.Failed {
		writeFailure(&b, r)
	}
	return b.String()
}

// word is a state for people.
func word(s agent.State) string {
	switch s {
	case agent.Building, agent.Deploying:
		return "is being built"
	case agent.Failed:
		return "**failed**"
	case agent.Queued:
		return "waits"
	}
	return string(s)
}

func summary(r agent.Report) string {
	built, reused, failed := r.Count()
	switch r.Run.State {
	case agent.Succeeded:
		s := fmt.Sprintf("%s built, %d reused, in %s.", count(built, "layer"), reused, duration(r.Run.Finished.Sub(r.Run.Queued).Seconds()))
		if own := own(r); own > 0 {
			s += fmt.Sprintf(" What was built adds %s.", size(own))
		}
		return s
	case agent.Failed:
		if len(r.Layers) == 0 {
			return ""
		}
		return fmt.Sprintf("%s without an image, %d built, %d reused.", count(failed, "layer"), built, reused)
	case agent.Superseded, agent.Cancelled:
		return code(sentence(r), maxText)
	}
	s := fmt.Sprintf("%d of %s to build", built, count(built+reused, "layer"))
	known, seconds := 0, 0.0
	for _, l := range r.Layers {
		if l.Step == layers.Build && l.Estimate > 0 {
			known++
			seconds += l.Estimate
		}
	}
	if known > 0 {
		s += fmt.Sprintf("; one after another about %s", duration(seconds))
		if known < built {
			s += fmt.Sprintf(", besides %s that was never built before", count(built-known, "layer"))
		}
	}
	return s + "."
}

func own(r agent.Report) (n int64) {
	for _, l := range r.Layers {
		if l.Built() {
			n += l.Own
		}
	}
	return n
}

// table lists what is built and why; what is reused is only counted.
func table(r agent.Report) string {
	var rows []agent.ReportedLayer
	for _, l := range r.Layers {
		if l.Step == layers.Build {
			rows = append(rows, l)
		}
	}
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| layer | step | why | time | own size |\n| --- | --- | --- | --- | --- |\n")
	for i, l := range rows {
		if i == maxRows {
			fmt.Fprintf(&b, "| … and %d more | | | | |\n", len(rows)-maxRows)
			break
		}
		step, took, bytes := string(l.State), "", ""
		switch {
		case l.State == "":
			step = string(l.Step)
			if l.Estimate > 0 {
				took = "about " + duration(l.Estimate)
			}
		case l.Seconds > 0:
			took = duration(l.Seconds)
		}
		if l.Built() {
			bytes = size(l.Own)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(string(l.Name), 100), step, why(l.Reasons), took, bytes)
	}
	return b.String()
}

// why tells the first reasons.
func why(reasons []layers.Reason) string {
	var all []string
	for i, r := range reasons {
		if i == 3 {
			all = append(all, fmt.Sprintf("and %d more", len(reasons)-3))
			break
		}
		all = append(all, cell(r.Detail, maxReason))
	}
	return strings.Join(all, ", ")
}

func writeFailure(b *strings.Builder, r agent.Report) {
	layer := r.Failed()
	if layer == nil || layer.Error == nil {
		fmt.Fprintf(b, "\n%s\n", code(r.Run.Reason, maxText))
		return
	}
	fmt.Fprintf(b, "\n%s: %s\n", code(string(layer.Name), 100), code(failing(layer.Error), maxText))
	if tail := layer.Error.Tail; len(tail) > 0 {
		b.WriteString("\n" + block(tail[max(0, len(tail)-maxTail):]))
	}
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB"}
	value, i := float64(n), 0
	for value >= 1000 && i < len(units)-1 {
		value /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
