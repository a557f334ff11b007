package deploy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
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
}

// Candidate is an environment that is about to get an image.
type Candidate struct {
	Environment Environment
	Layer       string
	Image       string // by digest
	// Template of its pods.
	Template *corev1.PodTemplateSpec
	// Annotations of the workload.
	Annotations map[string]string
}

// Gate decides whether an environment may get an image now. It is asked again
// whenever something changes, so it answers from what it has at hand.
type Gate interface {
	// Check is given the nodes that the pods may run on, as far as known.
	Check(ctx context.Context, c Candidate, nodes []*corev1.Node) Verdict
}
