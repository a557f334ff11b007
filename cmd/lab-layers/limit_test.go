package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

// TestEndlessBuild holds that an instruction that never ends fails its layer,
// once and for all, and frees the place that it took.
func TestEndlessBuild(t *testing.T) {
	l := newLab(t)
	l.agent.Carrier.Pipeline.Parallel = 1
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN true\n")
	l.pushed()
	l.agent.Carrier.Pipeline.Limit = 2 * time.Second
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN while :; do sleep 1; done\n")
	v := l.push("refs/heads/main")
	if v.State != agent.Failed || !strings.Contains(v.Reason, "unet: the build was not done after 2s") {
		t.Fatalf("the run %s: %s", v.State, v.Reason)
	}
	l.agent.Carrier.Pipeline.Limit = 0
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN echo again\n")
	l.pushed()
}

// TestEndlessPlan holds that a commit whose planning does not end fails, once
// and for all, and that the next one is planned though it is explained against
// that one.
func TestEndlessPlan(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a registry that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n")
	l.agent.Carrier.PlanLimit = 2 * time.Second
	good := l.read("images/base/Dockerfile")
	l.write("images/base/Dockerfile", "FROM "+silent.Addr().String()+"/slow\n")
	if v := l.push("refs/heads/main"); v.State != agent.Failed || !strings.Contains(v.Reason, "planning was not done after 2s") {
		t.Fatalf("the run %s: %s", v.State, v.Reason)
	}
	l.write("images/base/Dockerfile", good+"RUN true\n")
	v := l.pushed()
	if got := l.built(v); got != "base" || len(v.Plan.Layer("base").Reasons) == 0 {
		t.Errorf("built %q for %v", got, v.Plan.Layer("base").Reasons)
	}
}

// TestKilledStep holds that a step which is killed is tried again, and fails its
// layer when it is killed each time, while its siblings are tagged.
func TestKilledStep(t *testing.T) {
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN echo reading; exit 137\n")
	l.commit("a greedy step")
	l.git("push", "-q", "origin", "HEAD:main")
	l.check(l.agent.Look(t.Context(), l.agent.Sources[0]))
	run, err := l.store.Claim(t.Context(), "test", time.Hour)
	l.check(err)
	task := agent.Task{Run: *run, Source: l.agent.Sources[0]}
	for task.Run.Doubted = 0; task.Run.Doubted < 4; task.Run.Doubted++ {
		_, err = l.agent.Carrier.Carry(t.Context(), task)
		if err == nil || !strings.Contains(err.Error(), "experiments/unet/Dockerfile:2: RUN echo reading") || !strings.Contains(err.Error(), "its last line: ") {
			t.Errorf("after %d such failures: %v", task.Run.Doubted, err)
		}
	}
	v, err := l.agent.Carrier.Carry(t.Context(), task)
	l.check(err)
	if v.State != agent.Failed || !strings.Contains(v.Reason, "unet, for the 5th time: experiments/unet/Dockerfile:2: RUN") || !strings.Contains(v.Reason, "137") {
		t.Errorf("the run %s: %s", v.State, v.Reason)
	}
	l.tagsHold(v)
	if asked := joined(l.builds.take()); asked != "base unet unet unet unet unet" {
		t.Errorf("BuildKit was asked for %q", asked)
	}
}
