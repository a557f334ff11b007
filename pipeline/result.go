package pipeline

import (
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// Result is what became of a plan.
type Result struct {
	// Outcomes in the plan's order.
	Outcomes []Outcome
}

// OutcomeState says how a layer came out.
type OutcomeState string

// The outcomes. Blocked is a layer whose parent has no image.
const (
	Reused   OutcomeState = "reused"
	Made     OutcomeState = "built"
	Broken   OutcomeState = "failed"
	Blocked  OutcomeState = "blocked"
	Stopped  OutcomeState = "cancelled"
	NotThere OutcomeState = "absent"
)

// Outcome is what became of one layer.
type Outcome struct {
	Layer layers.Name  `json:"layer"`
	State OutcomeState `json:"state"`
	// Image is nil unless the layer was reused or built.
	Image *Image `json:"image,omitempty"`
	// Steps, Log and Duration are of the build, if there was one. Log is its
	// whole output, at most LogLimit bytes of it.
	Steps    []BuildStep   `json:"steps,omitempty"`
	Log      string        `json:"-"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Error is why a layer has no image. It is a *BuildError if the user's
	// Dockerfile is to blame, or may be.
	Error error `json:"-"`
}
