package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/pipeline"
)

func TestJudge(t *testing.T) {
	image := &pipeline.Image{}
	broken := pipeline.Outcome{Layer: "one", State: pipeline.Broken, Error: &pipeline.BuildError{File: "Dockerfile", Line: 3, Err: errors.New("exit 1")}}
	blocked := pipeline.Outcome{Layer: "two", State: pipeline.Blocked, Error: errors.New("its parent one has no image")}
	made := pipeline.Outcome{Layer: "three", State: pipeline.Made, Image: image}
	absent := pipeline.Outcome{Layer: "four", State: pipeline.NotThere}
	outage := errors.New("the registry is down")
	for _, c := range []struct {
		name     string
		outcomes []pipeline.Outcome
		state    State
		reason   string
	}{
		{"nothing", nil, Succeeded, ""},
		{"built and absent", []pipeline.Outcome{made, absent}, Succeeded, ""},
		{"failed and blocked", []pipeline.Outcome{broken, blocked, made}, Failed, "one: Dockerfile:3: exit 1; two: its parent one has no image"},
	} {
		if state, reason, err := judge(c.outcomes); state != c.state || reason != c.reason || err != nil {
			t.Errorf("%s: %s %q %v", c.name, state, reason, err)
		}
	}
	// One outage outweighs a mistake: only the next attempt shows the whole.
	down := pipeline.Outcome{Layer: "five", State: pipeline.Broken, Error: outage}
	if state, _, err := judge([]pipeline.Outcome{broken, down}); !errors.Is(err, outage) || !strings.Contains(err.Error(), "five") || state != "" {
		t.Errorf("an outage: %s, %v", state, err)
	}
}
