package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// Order asks for one image.
type Order struct {
	Layer layers.Name
	Key   layers.Key
	// Build is what to solve.
	Build *layers.Solvable
	// Repository to push to by digest: HOST/PREFIX/LAYER. No tag is moved.
	Repository string
	// Labels of the image configuration and annotations of the manifest.
	Labels      map[string]string
	Annotations map[string]string
	// Secrets and SSH are what the build may ask for, and no more: the builder's
	// names of them by the ids in the Dockerfile.
	Secrets map[string]string
	SSH     map[string]string
}

// Builder makes images. Implementations are safe for use by several
// goroutines.
type Builder interface {
	// Build makes the image and pushes it by digest. Progress may be nil; it
	// is called from one goroutine at a time. The error is a *BuildError if an
	// instruction of the Dockerfile failed (the user's mistake, unless it is
	// Doubtful); any other is the infrastructure's. A cancelled context cancels
	// the build and its cause is returned. With an error, Built has the steps,
	// the log and the times of what ran, and no digest.
	Build(ctx context.Context, order Order, progress func(Event)) (Built, error)
}

// LogLimit is the most that is kept of a build's output, in bytes.
const LogLimit = 1 << 20

// Built is what a build made.
type Built struct {
	// Digest of the platform's manifest; Index of the index around it, if
	// attestations were asked for.
	Digest digest.Digest
	Index  digest.Digest
	// Steps in the order in which they ended.
	Steps   []BuildStep
	Started time.Time
	Ended   time.Time
	// Log is the output of all steps, at most about LogLimit bytes: of a longer
	// one the head and the tail.
	Log []byte
}

// BuildStep is one vertex of the build graph.
type BuildStep struct {
	Name     string        `json:"name"`
	Cached   bool          `json:"cached"`
	Duration time.Duration `json:"duration_ns"`
	// File and Line of the instruction, if it has one.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Event is one thing that happened in a build.
type Event struct {
	Layer layers.Name
	Time  time.Time
	// Step is the vertex' name; empty for events of the build as a whole.
	Step  string
	State EventState
	// Log is output of the step, if State is Output.
	Log []byte
}

// EventState says what happened.
type EventState string

// What can happen to a step.
const (
	Started   EventState = "started"
	Output    EventState = "output"
	Cached    EventState = "cached"
	Completed EventState = "completed"
	Failed    EventState = "failed"
)

// BuildError says that an instruction failed.
type BuildError struct {
	// File and Line of the failing instruction in the repository.
	File string
	Line int
	// Instruction as written.
	Instruction string
	// Tail is the last lines of its output.
	Tail []string
	Err  error
	// Doubtful says that the instruction may not be to blame: it was killed, or
	// lacked memory, space or what it fetches. Another attempt may go well.
	Doubtful bool
}

// Error tells the place, the instruction's first line and what went wrong; the
// last lines of its output are in Tail.
func (e *BuildError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	}
	if first, _, _ := strings.Cut(e.Instruction, "\n"); first != "" {
		b.WriteString(first + ": ")
	}
	fmt.Fprint(&b, e.Err)
	return b.String()
}

// Unwrap returns what BuildKit said.
func (e *BuildError) Unwrap() error { return e.Err }
