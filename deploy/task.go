package deploy

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// Task is what is recorded of a program that ran once in a layer's image.
type Task struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID is the object's own id: a task that was deleted and made anew has another.
	UID string `json:"uid"`
	// User is who submitted it.
	User string `json:"user"`
	// Repository is its URL; empty while it is unknown.
	Repository string      `json:"repository,omitempty"`
	Layer      layers.Name `json:"layer"`
	// Track is what it followed when it was submitted; empty if it was given a
	// digest.
	Track string `json:"track,omitempty"`
	// Digest, Ref, Commit and Run are those of its image; empty until it has one.
	Digest digest.Digest `json:"digest,omitempty"`
	Ref    layers.Ref    `json:"ref,omitempty"`
	Commit layers.Commit `json:"commit,omitempty"`
	Run    int64         `json:"run,omitempty"`
	GPUs   int32         `json:"gpus"`
	// Queue is the name of its LocalQueue; empty without one.
	Queue    string    `json:"queue,omitempty"`
	State    TaskState `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Attempts int32     `json:"attempts"`
	TaskTimes
}

// String is NAMESPACE/NAME.
func (t Task) String() string { return t.Namespace + "/" + t.Name }

// TaskState is where a task stands.
type TaskState string

// The states of tasks.
const (
	TaskWaiting   TaskState = "waiting" // for an image
	TaskQueued    TaskState = "queued"
	TaskStarting  TaskState = "starting"
	TaskRunning   TaskState = "running"
	TaskEnding    TaskState = "ending"
	TaskSucceeded TaskState = "succeeded"
	TaskFailed    TaskState = "failed"
	TaskDeleted   TaskState = "deleted" // by somebody, before its end
)

// Final reports whether a state is never left.
func (s TaskState) Final() bool {
	return s == TaskSucceeded || s == TaskFailed || s == TaskDeleted
}

// TaskTimes are the time stamps of a task's objects in the cluster; zero what has
// not come to pass.
type TaskTimes struct {
	Submitted time.Time `json:"submitted"`
	// Admitted is when its pod was made: when queue and quota had let it go.
	Admitted time.Time `json:"admitted,omitzero"`
	// Scheduled is when the pod was given a node.
	Scheduled time.Time `json:"scheduled,omitzero"`
	// Started is when the program did, at the first attempt.
	Started time.Time `json:"started,omitzero"`
	// Finished is when the program ended, at the last attempt.
	Finished time.Time `json:"finished,omitzero"`
	// Released is when its Job had ended, and its resources were free.
	Released time.Time `json:"released,omitzero"`
}

// TaskDurations are the times between; nil what is not known. Clocks of nodes may
// differ by more than a step took: such a step took no time.
type TaskDurations struct {
	// Scheduling is from the submission to a node.
	Scheduling *time.Duration
	// Initialisation is from there to the start of the program.
	Initialisation *time.Duration
	// Run is from the start to the end of the program.
	Run *time.Duration
	// Reclaim is from the end of the program until its resources were free.
	Reclaim *time.Duration
}

// Durations are the times between the stamps.
func (t TaskTimes) Durations() TaskDurations {
	between := func(from, to time.Time) *time.Duration {
		if from.IsZero() || to.IsZero() {
			return nil
		}
		return new(max(0, to.Sub(from)))
	}
	return TaskDurations{
		Scheduling: between(t.Submitted, t.Scheduled), Initialisation: between(t.Scheduled, t.Started),
		Run: between(t.Started, t.Finished), Reclaim: between(t.Finished, t.Released),
	}
}
