package deploy

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/layers"
)

// Answer is what a gate says.
type Answer string

// The answers. What is warned of or unknown goes on, and is told.
const (
	Allow   Answer = "allow"
	Warn    Answer = "warn"
	Refuse  Answer = "refuse"
	Unknown Answer = "unknown"
)

// Verdict is a gate's answer and why, in one line.
type Verdict struct {
	Answer Answer
	Reason string
	// Firm is true of a refusal that no person can have a rollout go past.
	Firm bool
	// Until is when the answer may be another by itself; zero if that is unknown.
	Until time.Time
}

// Candidate is an environment that is about to get an image.
type Candidate struct {
	Environment Environment
	Container   string
	Layer       layers.Name
	Image       string // by digest
	// Template of its pods.
	Template *corev1.PodTemplateSpec
	// Annotations of the workload.
	Annotations map[string]string
	// Owner is the kind of what made the workload, such as LabEnvironment; empty if
	// nothing did.
	Owner string
	// Barred are the nodes that the pods may not run on.
	Barred []*corev1.Node
	// Running are the nodes on which its pods are now, by name.
	Running []*corev1.Node
	// Unseen is why the cluster's nodes may not be read; empty if they may.
	Unseen string
	// Queued is when the rollout was decided on.
	Queued time.Time
}

// First reports whether it would be the container's first image: nothing runs yet that a
// rollout could disturb.
func (c Candidate) First() bool {
	return slices.ContainsFunc(c.Template.Spec.Containers, func(is corev1.Container) bool { return is.Name == c.Container && is.Image == NoImage })
}

// Gate decides whether an environment may get an image now. It is asked again
// when releases, nodes or the environment change, so it answers from what it has
// at hand. What a person pinned passes all gates.
type Gate interface {
	// Name tells it from other gates, in a word.
	Name() string
	// Check is given the nodes that the pods may run on; none where they are unseen.
	Check(ctx context.Context, c Candidate, nodes []*corev1.Node) Verdict
}
