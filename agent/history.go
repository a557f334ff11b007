package agent

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// RunSummary is a run and how its layers came out.
type RunSummary struct {
	Run
	// Reused, Built and Failed count layers; Failed has those that had no image
	// because of a failure elsewhere too.
	Reused int `json:"reused"`
	Built  int `json:"built"`
	Failed int `json:"failed"`
	// Seconds from the time when the run was queued to its end; 0 before.
	Seconds float64 `json:"seconds"`
}

// QueueState is how many runs are in a state that is not final.
type QueueState struct {
	State State
	Runs  int
	// Oldest is how long ago the first of them was queued.
	Oldest time.Duration
}

// HistoryEntry is what became of one layer in one run, and why.
type HistoryEntry struct {
	Run        RunID         `json:"run"`
	Repository string        `json:"repository"`
	Ref        layers.Ref    `json:"ref"`
	Commit     layers.Commit `json:"commit"`
	// PreviousCommit is where the ref was before.
	PreviousCommit layers.Commit `json:"previous_commit,omitempty"`
	// Time is when the run ended.
	Time  time.Time             `json:"time"`
	Layer layers.Name           `json:"layer"`
	Kind  layers.Kind           `json:"kind,omitempty"`
	State pipeline.OutcomeState `json:"state"`
	// Reasons tell what moved; ChangedPaths the files, at most 1,000.
	Reasons      []layers.Reason     `json:"reasons"`
	ChangedPaths []string            `json:"changed_paths"`
	RebuildFrom  *layers.Instruction `json:"rebuild_from,omitempty"`
	Notes        []string            `json:"notes,omitempty"`
	// Seconds that its build took; 0 without a build.
	Seconds     float64    `json:"seconds"`
	Key         layers.Key `json:"key,omitempty"`
	PreviousKey layers.Key `json:"previous_key,omitempty"`
	// Image is REPOSITORY@DIGEST; Digest and Base are the image's.
	Image  string        `json:"image,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
	Base   *Base         `json:"base_image,omitempty"`
	Error  *Failure      `json:"error,omitempty"`
}

// Base is an image that another one stands on.
type Base struct {
	Name   string        `json:"name,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
}

// Failure is why a layer has no image. The place is known if an instruction of
// the Dockerfile failed.
type Failure struct {
	Text        string `json:"text"`
	File        string `json:"file,omitempty"`
	Line        int    `json:"line,omitempty"`
	Instruction string `json:"instruction,omitempty"`
	// Tail is the last lines of the instruction's output.
	Tail []string `json:"tail,omitempty"`
}
