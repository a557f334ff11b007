package gates

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/calendar"
)

// Calendar lets rollouts begin within the windows of an environment, and in none
// of its freezes. A first image comes at any time.
type Calendar struct{ Now func() time.Time }

var _ deploy.Gate = Calendar{}

// Name makes it a [deploy.Gate].
func (Calendar) Name() string { return "calendar" }

// Check refuses while it is closed, and where the annotations cannot be read.
func (g Calendar) Check(_ context.Context, c deploy.Candidate, _ []*corev1.Node) deploy.Verdict {
	times, err := calendar.Parse(c.Annotations[WindowAnnotation], c.Annotations[FreezeAnnotation])
	if err != nil {
		return deploy.Verdict{Answer: deploy.Refuse, Reason: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	if c.First() {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	state := times.At(g.Now())
	answer := deploy.Allow
	if !state.Open {
		answer = deploy.Refuse
	}
	return deploy.Verdict{Answer: answer, Reason: state.Reason, Until: state.Until}
}
