package agent

import (
	"strings"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Report is what there is to tell of a run in its present state.
type Report struct {
	Run Run
	// Attempt counts how often it was tried to tell a target of the run's state,
	// this time included.
	Attempt int
	// Layers in the plan's order. Of a run that waits there are none.
	Layers []ReportedLayer
	// Twin is the newest later run of the same ref and commit: what is said of
	// the commit is that one's to say. 0 if there is none.
	Twin RunID
	// Next is the newest later run of the ref, and what it is about. 0 if there
	// is none.
	Next       RunID
	NextCommit layers.Commit
}

// ReportedLayer is one layer of a report.
type ReportedLayer struct {
	Name layers.Name
	Kind layers.Kind
	// Key is empty for a layer that has none at the commit.
	Key layers.Key
	// Step is what is to be done about it.
	Step layers.Step
	// State is what became of it; empty before the run ends.
	State   pipeline.OutcomeState
	Reasons []layers.Reason
	// Estimate is the median of the seconds that its last builds took; 0 if
	// there was none, and when the run has ended.
	Estimate float64
	// Seconds that its build took.
	Seconds float64
	// Own is the bytes that it adds to its parent's image.
	Own   int64
	Image string // REPOSITORY@DIGEST
	Error *Failure
}

// Built reports whether its image was made in the run.
func (l ReportedLayer) Built() bool { return l.State == pipeline.Made }

// Count counts the layers to be built, or that were, or failed to be.
func (r Report) Count() (built, reused, failed int) {
	for _, l := range r.Layers {
		switch l.State {
		case pipeline.Made:
			built++
		case pipeline.Reused:
			reused++
		case pipeline.Broken, pipeline.Blocked, pipeline.Stopped:
			failed++
		case "":
			if l.Step == layers.Build {
				built++
			} else if l.Step == layers.Reuse {
				reused++
			}
		}
	}
	return built, reused, failed
}

// Failed returns the first layer that failed by itself; nil if none did.
func (r Report) Failed() *ReportedLayer {
	for i, l := range r.Layers {
		if l.State == pipeline.Broken {
			return &r.Layers[i]
		}
	}
	return nil
}

// planned describes a plan as it will be carried out.
func planned(plan *layers.Plan) (all []ReportedLayer) {
	for _, l := range plan.Layers {
		if l.Step != layers.Absent {
			all = append(all, ReportedLayer{Name: l.Name, Kind: l.Kind, Key: l.Key, Step: l.Step, Reasons: l.Reasons})
		}
	}
	return all
}

// nothingToDo begins the reason of a run that had nothing to do.
const nothingToDo = "nothing to do"

// Idle reports whether the run ended because there was nothing to do.
func (r Run) Idle() bool { return r.State == Cancelled && strings.HasPrefix(r.Reason, nothingToDo+":") }
