package main

import (
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
