package gpu

import (
	"fmt"
	"time"
)

// Activity is whether a node's GPUs are in use, as node-probe last wrote it there.
type Activity struct {
	// Unknown is why that is not known; empty if it is.
	Unknown string
	// None is true for a node that has no GPU.
	None bool
	// IdleSince is since when no GPU is in use; zero while one is.
	IdleSince time.Time
	// Busy is how much they are in use, such as "87 %, 2 processes".
	Busy string
	// Silent is from when on it counts for nothing, unless the probe says more.
	Silent time.Time
}

// silence is for how long what a probe wrote counts: it writes every five minutes.
const silence = 11 * time.Minute

// ReadActivity reads a node's annotations at a moment.
func ReadActivity(annotations map[string]string, now time.Time) Activity {
	report, reported, err := readReport(annotations)
	seen, _ := time.Parse(time.RFC3339, annotations[SeenAnnotation])
	since, _ := time.Parse(time.RFC3339, annotations[IdleAnnotation])
	a := Activity{IdleSince: since, Busy: annotations[BusyAnnotation], Silent: seen.Add(silence)}
	switch {
	case err != nil:
		a.Unknown = err.Error()
	case !reported || seen.IsZero():
		a.Unknown = "does not tell: run lab-layers node-probe there"
	case !now.Before(a.Silent):
		a.Unknown = "has not told since " + seen.UTC().Format("2006-01-02 15:04 MST") + ": see to lab-layers node-probe there"
	case report.Fault != "":
		a.Unknown = "says: " + report.Fault
	case len(report.GPUs) == 0 && report.Lost == 0:
		a.None = true
	case a.Busy == "" && since.IsZero():
		a.Unknown = "has a driver that does not tell"
	}
	return a
}

// Busy is how much the GPUs are in use: the highest share of the time in which one
// computes, and all processes; empty if none is, or that is not known.
func (r Report) Busy() string {
	if idle, known := r.Idle(); idle || !known {
		return ""
	}
	percent, processes := -1, 0
	for _, g := range r.GPUs {
		percent = max(percent, g.Use.Percent)
		processes += max(0, g.Use.Processes)
	}
	text := fmt.Sprintf("%d processes", processes)
	if processes == 1 {
		text = "1 process"
	}
	if percent >= 0 {
		text = fmt.Sprintf("%d %%, %s", percent, text)
	}
	return text
}
