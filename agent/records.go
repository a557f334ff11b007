package agent

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// RepositoryID is the store's id of a repository.
type RepositoryID int64

// RunID is the store's id of a run.
type RunID int64

// Move is a ref that went from one commit to another. Old is empty for a new
// ref, New for a deleted one.
type Move struct {
	Repository RepositoryID  `json:"-"`
	URL        string        `json:"repository"`
	Ref        layers.Ref    `json:"ref"`
	Old        layers.Commit `json:"old,omitempty"`
	New        layers.Commit `json:"new,omitempty"`
	// Quiet moves are recorded without a run.
	Quiet bool `json:"-"`
	// Cuts says that a run of the ref that is at work ends at once: nobody waits
	// for its images any more.
	Cuts bool `json:"-"`
}

// State of a run.
type State string

// A run goes from Queued to one of the final states and never back, but from
// Building to Queued when the infrastructure failed.
const (
	Queued     State = "queued"
	Building   State = "building"
	Deploying  State = "deploying"
	Succeeded  State = "succeeded"
	Failed     State = "failed"
	Superseded State = "superseded"
	Cancelled  State = "cancelled"
)

// Final reports whether the state is never left.
func (s State) Final() bool {
	return s == Succeeded || s == Failed || s == Superseded || s == Cancelled
}

// Run is the agent's work on one move.
type Run struct {
	ID      RunID `json:"id"`
	Move    Move  `json:"move"`
	State   State `json:"state"`
	Attempt int   `json:"attempt"`
	// Reason of a final state other than Succeeded, in one line.
	Reason   string    `json:"reason,omitempty"`
	Queued   time.Time `json:"queued"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Doubted is how many attempts ended at an instruction that may not be to
	// blame.
	Doubted int `json:"-"`
	// Owner and Hold name the claim on it, or the last one, as it was when the run
	// was read. No other claim ever has the same hold, one of the same owner
	// neither.
	Owner string `json:"-"`
	Hold  string `json:"-"`
}

// Verdict is the end of a run, with all that it made. It is recorded whole or
// not at all.
type Verdict struct {
	State  State
	Reason string
	// Plan as it was carried out.
	Plan *layers.Plan
	// Outcomes of the layers, in the plan's order.
	Outcomes []pipeline.Outcome
	// Snapshot is nil if no layer has an image.
	Snapshot *Snapshot
	// Tags that now point at images of the snapshot.
	Tags []Tag
}

// Snapshot is all images of one commit together.
type Snapshot struct {
	Repository RepositoryID  `json:"-"`
	URL        string        `json:"repository"`
	Commit     layers.Commit `json:"commit"`
	// Complete is false if a layer has no image because its build failed.
	Complete bool                           `json:"complete"`
	Images   map[layers.Name]pipeline.Image `json:"images"`
	Taken    time.Time                      `json:"taken"`
}

// Tag is one tag in the registry and what it points at.
type Tag struct {
	Layer layers.Name `json:"layer"`
	// Repository is HOST/PREFIX/LAYER.
	Repository string        `json:"repository"`
	Name       string        `json:"name"`
	Digest     digest.Digest `json:"digest"`
	Ref        layers.Ref    `json:"ref"`
	// Expires is zero for a lasting tag.
	Expires time.Time `json:"expires,omitzero"`
}
