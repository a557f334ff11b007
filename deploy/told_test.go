package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// about returns the lines that have all parts.
func (l *logged) about(parts ...string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// fickle holds one environment in other words each time, and by itself passes
// later; of another it refuses the image for good.
type fickle struct {
	waits, refused string
	asked          atomic.Int64
}

func (*fickle) Name() string { return "fickle" }

func (g *fickle) Check(_ context.Context, c deploy.Candidate, _ []*corev1.Node) deploy.Verdict {
	switch c.Environment.Name {
	case g.waits:
		return deploy.Verdict{Answer: deploy.Refuse, Reason: fmt.Sprint("busy: ", g.asked.Add(1)), Until: time.Now().Add(10 * time.Millisecond)}
	case g.refused:
		return deploy.Verdict{Answer: deploy.Refuse, Reason: "the smoke test failed"}
	}
	return deploy.Verdict{Answer: deploy.Allow}
}

// TestToldOnce has what is the matter with environments logged once, however often
// it is looked at, and not again by the next process.
func TestToldOnce(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "told"})
	old := func(name string) workload {
		return workload{name: name, layer: "unet", image: "registry.example/lab/unet:old", replicas: 1}
	}
	broken := old("broken")
	broken.annotations = map[string]string{deploy.DeadlineAnnotation: "soon"}
	faulty := l.deployment(broken)
	fine, waits, refused := l.deployment(old("fine")), l.deployment(old("waits")), l.deployment(old("refused"))
	commit := l.push("unet", runs(1))
	gate := &fickle{waits: waits.Name, refused: refused.Name}
	var log logged
	var mu sync.Mutex
	told := map[string]int{}
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		told[what]++
	}
	change := func(e *deploy.Engine) {
		e.Gates, e.Log = []deploy.Gate{gate}, slog.New(slog.NewTextHandler(&log, nil))
		e.Progress = deploy.Progress{
			Held: func(r deploy.Rollout, h deploy.Hold) {
				count(fmt.Sprint(r.Environment.Name, " held by ", h.Gate, h.Passes()))
			},
			Began: func(r deploy.Rollout) {
				count(fmt.Sprint(r.Environment.Name, " began, released ", !r.Released.IsZero()))
			},
			Ended: func(r deploy.Rollout) { count(fmt.Sprint(r.Environment.Name, " ", r.State)) },
		}
	}
	looks := func() {
		t.Helper()
		l.await(fine, deploy.Healthy, commit)
		l.await(refused, deploy.Held, "")
		l.await(faulty, deploy.Faulty, "")
		was := gate.asked.Load()
		clustertest.Await(t, "some looks", func(context.Context) error {
			if gate.asked.Load() < was+5 {
				return errors.New("too few")
			}
			return nil
		})
	}
	stop := l.start(l.engine(change))
	looks()
	stop()
	want := []string{"level=WARN", "gate=fickle", `reason="the smoke test failed"`, `remedy="mend that, or go past it: lab-layers resume ` + refused.String()}
	if got := log.about("environment="+refused.String(), "is held"); len(got) != 1 {
		t.Errorf("refused: %q", got)
	} else {
		has(t, got[0], want...)
	}
	if got := log.about("environment="+waits.String(), "is held"); len(got) != 1 {
		t.Errorf("waits: %q", got)
	} else {
		has(t, got[0], "level=INFO", "until=")
	}
	if got := log.about("environment="+faulty.String(), "is faulty"); len(got) != 1 {
		t.Errorf("faulty: %q", got)
	} else {
		has(t, got[0], "level=WARN", deploy.DeadlineAnnotation, "remedy=")
	}
	if got, want := fmt.Sprint(told), "map[fine began, released true:1 fine healthy:1 refused held by ficklefalse:1 waits held by fickletrue:1]"; got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}

	lines := len(log.about("level=WARN"))
	l.start(l.engine(change))
	looks()
	if got := log.about("level=WARN"); len(got) != lines {
		t.Errorf("the next process told %q", got[lines:])
	}
	l.annotate(faulty, deploy.DeadlineAnnotation, "null")
	l.await(faulty, deploy.Healthy, commit)
	if got := log.about("environment="+faulty.String(), "not faulty any more"); len(got) != 1 {
		t.Errorf("mended: %q", got)
	}
	l.push("unet", runs(2))
	clustertest.Await(t, "what is held to be superseded", func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if told["waits superseded"] != 1 || told["refused superseded"] != 1 {
			return fmt.Errorf("told %v", told)
		}
		return nil
	})
}
