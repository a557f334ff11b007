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
		if state, reason, err := judge(c.outcomes, 0); state != c.state || reason != c.reason || err != nil {
			t.Errorf("%s: %s %q %v", c.name, state, reason, err)
		}
	}
	// One outage outweighs a mistake: only the next attempt shows the whole.
	down := pipeline.Outcome{Layer: "five", State: pipeline.Broken, Error: outage}
	if state, _, err := judge([]pipeline.Outcome{broken, down}, 100); !errors.Is(err, outage) || !strings.Contains(err.Error(), "five") || state != "" {
		t.Errorf("an outage: %s, %v", state, err)
	}

	// What was killed may do better, but not for ever.
	killed := pipeline.Outcome{Layer: "six", State: pipeline.Broken, Error: &pipeline.BuildError{File: "Dockerfile", Line: 3, Err: errors.New("exit 137"), Doubtful: true}}
	for doubted := range doubtfulAttempts - 1 {
		if state, _, err := judge([]pipeline.Outcome{killed, broken}, doubted); !errors.Is(err, killed.Error) || !errors.As(err, new(doubt)) || state != "" {
			t.Errorf("killed after %d times: %s, %v", doubted, state, err)
		}
	}
	if _, _, err := judge([]pipeline.Outcome{killed, down}, 0); !errors.Is(err, outage) || errors.As(err, new(doubt)) {
		t.Errorf("killed in an outage: %v", err)
	}
	if state, reason, err := judge([]pipeline.Outcome{killed, blocked}, doubtfulAttempts-1); state != Failed || !strings.HasPrefix(reason, "six, for the 5th time: Dockerfile:3: exit 137; two: ") || err != nil {
		t.Errorf("killed at the last attempt: %s %q %v", state, reason, err)
	}
}
