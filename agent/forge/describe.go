package forge

import (
	"fmt"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// maxDescription is how many characters GitHub takes; others take more.
const maxDescription = 140

// describe says in one line how a run goes.
func describe(r agent.Report) string {
	return limit(plain(sentence(r)), maxDescription)
}

func sentence(r agent.Report) string {
	built, reused, failed := r.Count()
	switch r.Run.State {
	case agent.Queued:
		return "queued"
	case agent.Succeeded:
		if built == 0 {
			return fmt.Sprintf("nothing to build: %s as before", count(reused, "layer"))
		}
		return fmt.Sprintf("%d built, %d reused in %s", built, reused, duration(r.Run.Finished.Sub(r.Run.Queued).Seconds()))
	case agent.Failed:
		layer := r.Failed()
		if layer == nil || layer.Error == nil {
			return r.Run.Reason
		}
		line := failing(layer.Error)
		if more := failed - 1; more > 0 {
			line = limit(plain(line), maxDescription-20) + fmt.Sprintf(" (and %d more)", more)
		}
		return line
	case agent.Superseded:
		if r.Next != 0 {
			return "superseded by " + r.NextCommit.Short()
		}
		return "superseded: " + r.Run.Reason
	case agent.Cancelled:
		if r.Run.Idle() {
			return r.Run.Reason
		}
		return "cancelled: " + r.Run.Reason
	}
	var names []string
	for _, l := range r.Layers {
		if l.Step == layers.Build {
			names = append(names, string(l.Name))
		}
	}
	if len(names) == 0 {
		return "building"
	}
	return fmt.Sprintf("%d of %s to build: %s", built, count(built+reused, "layer"), strings.Join(names, ", "))
}

// failing is the plain failing line: the place, the instruction and what went
// wrong, as the records tell it.
func failing(f *agent.Failure) string {
	text, _, _ := strings.Cut(f.Text, "\n")
	if f.Line == 0 || strings.HasPrefix(text, f.File+":") {
		return text
	}
	instruction, _, _ := strings.Cut(f.Instruction, "\n")
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, instruction, text)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// duration writes seconds for people.
func duration(seconds float64) string {
	if seconds < 10 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	if seconds < 90 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	d := time.Duration(seconds * float64(time.Second)).Round(time.Minute)
	if d < time.Hour {
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}
