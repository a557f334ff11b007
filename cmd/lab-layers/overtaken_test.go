package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// TestOvertakenBuild holds that a branch that moves on does not wait for the
// build of what it left: that is cut off in BuildKit, and the newest is built.
// The same goes for a branch that is deleted, and for a run that a person
// cancels.
func TestOvertakenBuild(t *testing.T) {
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN true\n")
	l.pushed()

	ended := make(chan agent.Verdict, 10)
	stuck := make(chan struct{}, 10)
	l.agent.Workers, l.agent.Interval = 2, 20*time.Millisecond
	l.agent.Progress = agent.Progress{
		Build: func(_ agent.Run, e pipeline.Event) {
			if e.State == pipeline.Output && strings.Contains(string(e.Log), "stuck") {
				stuck <- struct{}{}
			}
		},
		End: func(_ agent.Run, v agent.Verdict) { ended <- v },
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { _ = l.agent.Serve(ctx) })
	defer serving.Wait()
	defer stop()

	endless := "FROM base\nRUN echo stuck $(( 40 + 2 )) && while :; do sleep 1; done\n"
	for _, c := range []struct {
		name   string
		next   func()
		state  agent.State
		reason string
		after  bool // another run follows, and succeeds
	}{
		{"a newer commit", func() {
			l.write("experiments/unet/Dockerfile", "FROM base\nRUN echo done\n")
			l.commit("mended")
			l.git("push", "-q", "-f", "origin", "HEAD:feature/x")
		}, agent.Superseded, "overtaken by run", true},
		{"a deleted branch", func() { l.git("push", "-q", "origin", ":feature/x") }, agent.Cancelled, "the ref was deleted", false},
		{"a person", func() {
			l.check(l.store.Cancel(t.Context(), l.runs()[0].ID, "not now"))
		}, agent.Cancelled, "not now", false},
	} {
		l.write("experiments/unet/Dockerfile", endless+"# "+c.name+"\n"+"ENV FOR="+strings.ReplaceAll(c.name, " ", "-")+"\n")
		l.commit("never ends")
		l.git("push", "-q", "-f", "origin", "HEAD:feature/x")
		<-stuck
		c.next()
		v := <-ended
		if v.State != c.state || !strings.HasPrefix(v.Reason, c.reason) {
			t.Errorf("%s: the run %s: %s", c.name, v.State, v.Reason)
		}
		if !c.after {
			continue
		}
		v = <-ended
		if v.State != agent.Succeeded || len(v.Tags) == 0 || layers.Commit(l.head()) != v.Plan.To {
			t.Errorf("%s: the next run %s: %s", c.name, v.State, v.Reason)
		}
	}
}
