package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func TestBuiltLayers(t *testing.T) {
	s := newStore(t)
	const main layers.Ref = "refs/heads/main"
	look := func() (deploy.RefState, map[layers.Name]deploy.BuiltLayer) {
		t.Helper()
		states := must[[]deploy.RefState](t)(s.RefStates(t.Context(), []string{labURL}))
		if len(states) != 1 || states[0].Ref != main || states[0].Repository != labURL {
			t.Fatalf("the states are %+v", states)
		}
		byName := map[layers.Name]deploy.BuiltLayer{}
		for _, b := range must[[]deploy.BuiltLayer](t)(s.BuiltLayers(t.Context(), states)) {
			if b.Told != states[0].Told {
				t.Errorf("%s is told of run %d", b.Layer, b.Told)
			}
			byName[b.Layer] = b
		}
		return states[0], byName
	}
	first := build(t, s, main, "", "a", map[string]string{"bert": "1"}, "bert")
	state, built := look()
	if state.Open || state.Problem != "" || state.Run != int64(first.run.ID) || state.Told != state.Run || state.Released != state.Run || state.Commit != commit("a") {
		t.Errorf("the ref is %+v", state)
	}
	good := first.Snapshot.Images["bert"]
	bert := built["bert"]
	if len(built) != 4 || bert.Failed || bert.Key != good.Key || bert.Digest() != good.Digest || bert.Commit != commit("a") || bert.Recorded.IsZero() ||
		bert.Reason != "path: bert/train.py changed" || built["gpt"].Reason != "" {
		t.Errorf("the layers are %+v", built)
	}

	// One that is at work, and then fails.
	push(t, s, main, "a", "b")
	if state, built := look(); !state.Open || state.Commit != commit("b") || state.Told != int64(first.run.ID) || built["bert"].Digest() != good.Digest {
		t.Errorf("while it waits: %+v, %+v", state, built)
	}
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, map[string]string{"bert": "2"}))
	v.State, v.Reason, v.Snapshot.Complete = agent.Failed, "bert failed", false
	delete(v.Snapshot.Images, "bert")
	for i, out := range v.Outcomes {
		if out.Layer == "bert" {
			v.Outcomes[i] = pipeline.Outcome{Layer: "bert", State: pipeline.Broken, Error: errors.New("Dockerfile:3: COPY train.py: no such file")}
		}
	}
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	state, built = look()
	if state.Open || !strings.Contains(state.Problem, "bert failed") || state.Released != int64(first.run.ID) || state.Told != int64(run.ID) {
		t.Errorf("the ref is %+v", state)
	}
	if b := built["bert"]; !b.Failed || b.Digest() != good.Digest || b.Commit != commit("a") || !strings.Contains(b.Reason, "Dockerfile:3") {
		t.Errorf("what failed is %+v", b)
	}
	if g := built["gpt"]; g.Failed || g.Commit != commit("b") {
		t.Errorf("its sibling is %+v", g)
	}

	if err := s.Forget(t.Context(), good.Key, good.Digest); err != nil {
		t.Fatal(err)
	}
	if _, built = look(); built["bert"].Image != "" || built["bert"].Commit != "" {
		t.Errorf("what the registry lost is %+v", built["bert"])
	}
}
