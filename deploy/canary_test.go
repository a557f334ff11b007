package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/layers"
)

func canary(e *deploy.Engine) { e.Canary = true }

// TestCanary has one environment get a release before the others.
func TestCanary(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "canary"})
	var all []deploy.Environment
	for i := range 4 {
		w := workload{name: fmt.Sprint("class-", i), layer: "unet", image: ref("unet", runs(1)), replicas: 1}
		if i == 2 {
			w.annotations = map[string]string{deploy.CanaryAnnotation: "true"}
		}
		all = append(all, l.deployment(w))
	}
	hasty := l.deployment(workload{name: "a-hasty", layer: "unet", image: ref("unet", runs(1)), replicas: 1, annotations: map[string]string{deploy.CanaryAnnotation: "false"}})
	first := l.push("unet", runs(1))
	l.start(l.engine(canary))
	for _, e := range append(all, hasty) {
		l.await(e, deploy.Healthy, first)
	}
	second := l.push("unet", runs(2))
	for _, e := range append(all, hasty) {
		l.await(e, deploy.Healthy, second)
	}
	began := func(e deploy.Environment) time.Time { return l.listed(e).Rollout.Started }
	ended := l.listed(all[2]).Rollout.Finished
	for i, e := range all {
		if i != 2 && began(e).Before(ended) {
			t.Errorf("%s began at %v, before the canary ended at %v", e, began(e), ended)
		}
	}

	l.push("unet", clustertest.Crashes.Digest(1))
	l.await(all[2], deploy.RolledBack, "")
	for i, e := range all {
		if i == 2 {
			continue
		}
		clustertest.Await(t, e.String()+" to be held", func(context.Context) error {
			v := l.listed(e)
			if v.State != deploy.Held || !strings.Contains(v.Reason, "class-2 got the release first and failed: ") || !strings.Contains(v.Reason, "CrashLoopBackOff") {
				return fmt.Errorf("it is %s: %s", v.State, v.Reason)
			}
			return nil
		})
		if l.image(e) != ref("unet", runs(2)) {
			t.Errorf("%s has %s", e, l.image(e))
		}
	}
	l.await(hasty, deploy.RolledBack, "")
	// A person has one go on all the same, and the next release frees the rest.
	_, err := l.store.Resume(t.Context(), all[0])
	l.check(err)
	l.await(all[0], deploy.RolledBack, "")
	third := l.push("unet", runs(3))
	for _, e := range all {
		l.await(e, deploy.Healthy, third)
	}
}

// gate refuses until it is opened.
type gate struct {
	open atomic.Bool
	seen atomic.Pointer[deploy.Candidate]
}

func (*gate) Name() string { return "test" }

func (g *gate) Check(_ context.Context, c deploy.Candidate, nodes []*corev1.Node) deploy.Verdict {
	g.seen.Store(&c)
	if g.open.Load() {
		return deploy.Verdict{Answer: deploy.Warn, Reason: fmt.Sprint(len(nodes), " nodes")}
	}
	return deploy.Verdict{Answer: deploy.Refuse, Reason: "needs a newer driver", Until: time.Now().Add(100 * time.Millisecond)}
}

// TestGate holds a rollout while a gate refuses it.
func TestGate(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "gate"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	var g gate
	l.start(l.engine(func(e *deploy.Engine) { e.Gates = []deploy.Gate{&g} }))
	first := l.push("unet", runs(1))
	if v := l.await(e, deploy.Held, ""); v.Reason != "needs a newer driver" {
		t.Errorf("it is held: %s", v.Reason)
	}
	if c := g.seen.Load(); c.Image != ref("unet", runs(1)) || c.Layer != "unet" || c.Container != "main" || c.Environment != e {
		t.Errorf("the gate was asked of %+v", c)
	}
	g.open.Store(true)
	l.await(e, deploy.Healthy, first)
}

// TestTurns rolls many environments, no more than a few at once.
func TestTurns(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "turns"})
	var all []deploy.Environment
	for i := range 10 {
		all = append(all, l.deployment(workload{name: fmt.Sprint("class-", i), layer: "unet", image: ref("unet", runs(1)), replicas: 1}))
	}
	first := l.push("unet", runs(1))
	l.start(l.engine(func(e *deploy.Engine) { e.Parallel = 3 }))
	for _, e := range all {
		l.await(e, deploy.Healthy, first)
	}
	second := l.push("unet", runs(2))
	for _, e := range all {
		l.await(e, deploy.Healthy, second)
	}
	for _, e := range all {
		at, others := l.listed(e).Rollout.Started, 0
		for _, o := range all {
			if r := l.listed(o).Rollout; r.Started.Before(at) && r.Finished.After(at) {
				others++
			}
		}
		if others > 2 {
			t.Errorf("%d others were rolling when %s began", others, e)
		}
	}
}

// late records that a rollout is held only once the canary's end is known.
type late struct {
	deploy.Store
	canary deploy.Environment
	known  chan struct{}
	once   *sync.Once
}

func (s late) Advance(ctx context.Context, r deploy.Rollout, to deploy.State, reason string) (deploy.Rollout, error) {
	if to == deploy.Held {
		select {
		case <-s.known:
		case <-ctx.Done():
		}
	}
	return s.Store.Advance(ctx, r, to, reason)
}

func (s late) Observe(ctx context.Context, v deploy.Standing) error {
	if v.Environment == s.canary && v.State == deploy.Healthy {
		s.once.Do(func() { close(s.known) })
	}
	return s.Store.Observe(ctx, v)
}

// TestHeldLate holds that the end of a canary is not missed by a rollout that is
// just about to wait for it.
func TestHeldLate(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "late"})
	first := l.deployment(workload{name: "a", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	second := l.deployment(workload{name: "b", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	pushed := l.push("unet", runs(1))
	store := late{l.store, first, make(chan struct{}), new(sync.Once)}
	l.start(l.engine(canary, func(e *deploy.Engine) { e.Store = store }))
	l.await(first, deploy.Healthy, pushed)
	l.await(second, deploy.Healthy, pushed)
}

// refuses refuses one environment for good.
type refuses struct{ deploy.Environment }

func (refuses) Name() string { return "test" }

func (r refuses) Check(_ context.Context, c deploy.Candidate, _ []*corev1.Node) deploy.Verdict {
	if c.Environment == r.Environment {
		return deploy.Verdict{Answer: deploy.Refuse, Reason: "the smoke test failed"}
	}
	return deploy.Verdict{Answer: deploy.Allow}
}

// TestRefusedCanary has the others go on where the first is refused for good.
func TestRefusedCanary(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "refused"})
	var all []deploy.Environment
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, l.deployment(workload{name: name, layer: "unet", image: "registry.example/lab/unet:old", replicas: 1}))
	}
	pushed := l.push("unet", runs(1))
	l.start(l.engine(canary, func(e *deploy.Engine) { e.Tests = []deploy.Gate{refuses{all[0]}} }))
	l.await(all[1], deploy.Healthy, pushed)
	l.await(all[2], deploy.Healthy, pushed)
	clustertest.Await(t, "the first to be held", func(context.Context) error {
		if v := l.listed(all[0]); v.State != deploy.Held || v.Reason != "the smoke test failed" {
			return fmt.Errorf("it is %s: %s", v.State, v.Reason)
		}
		return nil
	})
}

// TestUnwellCanary has nobody wait for an environment that is well with no image.
func TestUnwellCanary(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "unwell"})
	newcomer := l.deployment(workload{name: "a-newcomer", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1, room: "nowhere"})
	others := []deploy.Environment{
		l.deployment(workload{name: "b", layer: "unet", image: ref("unet", runs(1)), replicas: 1}),
		l.deployment(workload{name: "c", layer: "unet", image: ref("unet", runs(1)), replicas: 1}),
	}
	all := func(commit layers.Commit) {
		for _, e := range others {
			l.await(e, deploy.Healthy, commit)
		}
	}
	pushed := l.push("unet", runs(1))
	l.start(l.engine(canary))
	all(pushed)
	all(l.push("unet", runs(2)))
	// Even where people chose it.
	l.annotate(newcomer, deploy.CanaryAnnotation, `"true"`)
	l.annotate(newcomer, deploy.DeadlineAnnotation, `"1s"`)
	pushed = l.push("unet", runs(3))
	l.await(newcomer, deploy.Failed, "")
	all(pushed)
}
