package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// TestEstate reads a history back as clean-up sees it.
func TestEstate(t *testing.T) {
	s := newStore(t)
	const main, feature layers.Ref = "refs/heads/main", "refs/heads/feature/\xff"
	build(t, s, main, "", "a", map[string]string{"bert": "1"}, "bert")
	build(t, s, main, "a", "b", map[string]string{"bert": "2"}, "bert")
	push(t, s, feature, "", "f")
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, map[string]string{"bert": "3"}), "bert")
	for i := range v.Tags {
		v.Tags[i].Name, v.Tags[i].Expires = "feature-x", time.Now().Add(time.Hour)
	}
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	gone := agent.Move{Repository: run.Move.Repository, URL: labURL, Ref: feature, Old: commit("f")}
	must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{gone}))
	push(t, s, main, "b", "a") // back, and waiting

	e := must[cleanup.Estate](t)(s.Estate(t.Context()))
	if len(e.Images) != 6 || e.Images[0].Parent != sum("debian") || e.Images[2].Size != 1001 || e.Now.IsZero() {
		t.Errorf("%d images: %+v", len(e.Images), e.Images)
	}
	if len(e.Snapshots) != 3 {
		t.Fatalf("%d snapshots", len(e.Snapshots))
	}
	for i, want := range []struct {
		commit  string
		heads   []layers.Ref
		waiting bool
		turn    int
	}{{"a", []layers.Ref{main}, true, 1}, {"b", nil, false, 0}, {"f", nil, false, -1}} {
		got := e.Snapshots[i]
		turn, ok := got.Turns[main]
		if !ok {
			turn = -1
		}
		if got.Commit != commit(want.commit) || !slices.Equal(got.Heads, want.heads) || got.Waiting != want.waiting || turn != want.turn || len(got.Images) != 4 {
			t.Errorf("%s: %+v", want.commit, got)
		}
	}
	for _, tag := range e.Tags {
		temporary := tag.Name == "feature-x"
		if temporary != (tag.Ref == feature) || temporary == tag.Gone.IsZero() || temporary == tag.Expires.IsZero() || temporary != (tag.Commit == commit("f")) {
			t.Errorf("tag %+v", tag)
		}
	}

	d := cleanup.Decide(e, nil, cleanup.Policy{Prefix: "registry.example", Last: 1})
	if len(d.Tags) != 4 || len(d.Images) != 1 || d.Images[0].Digest != sum("image bert3") || !strings.Contains(d.Tags[0].Why, "was deleted at") {
		t.Errorf("to go: %+v", d)
	}
}

// TestRemoved follows an image out of the records, and back.
func TestRemoved(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	estate := func() cleanup.Estate { return must[cleanup.Estate](t)(s.Estate(t.Context())) }
	bert := estate().Images[2]
	known := func() bool {
		images := must[map[layers.Key]pipeline.Image](t)(s.Images(t.Context(), []layers.Key{bert.Key}))
		return len(images) == 1
	}
	for range 2 { // as after an answer that was lost
		if err := s.Condemn(t.Context(), []int64{bert.ID}); err != nil || known() {
			t.Fatalf("a condemned image counts, %v", err)
		}
	}
	if e := estate(); len(e.Images) != 4 || len(e.Tags) != 4 {
		t.Errorf("killed before it was removed: %d images, %d tags", len(e.Images), len(e.Tags))
	}
	for range 2 {
		if err := s.Removed(t.Context(), []int64{bert.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if e := estate(); len(e.Images) != 3 || len(e.Tags) != 3 {
		t.Errorf("removed: %d images, %d tags", len(e.Images), len(e.Tags))
	}
	os := estate().Tags[0]
	if err := s.Untagged(t.Context(), os); err != nil || len(estate().Tags) != 2 {
		t.Errorf("untagged: %v", err)
	}
	lab(t, s, nil)
	if e := estate(); len(e.Images) != 4 || !known() {
		t.Errorf("published again: %d images", len(e.Images))
	}
}

// TestAlone keeps runs and clean-up apart.
func TestAlone(t *testing.T) {
	s := newStore(t)
	other := mustOpen(t, shared.URL(), s.schema)
	var busy *cleanup.BusyError
	nothing := func(context.Context, func(context.Context) error) error { return nil }
	push(t, s, "refs/heads/main", "", "a")
	err := s.Alone(t.Context(), func(ctx context.Context, held func(context.Context) error) error {
		if run, err := other.Claim(ctx, "one", time.Minute); run != nil || err != nil {
			t.Errorf("claimed %v, %v", run, err)
		}
		return held(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	run := mustClaim(t, other, "one")
	if err := s.Alone(t.Context(), nothing); !errors.As(err, &busy) || !strings.Contains(busy.With, "run 1") {
		t.Errorf("beside a run: %v", err)
	}
	if err := other.Finish(t.Context(), run, agent.Verdict{State: agent.Failed, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	end, err := other.Building(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alone(t.Context(), nothing); !errors.As(err, &busy) {
		t.Errorf("beside a build: %v", err)
	}
	end()
	failed := errors.New("failed")
	if err := s.Alone(t.Context(), func(context.Context, func(context.Context) error) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if err := s.Alone(t.Context(), nothing); err != nil {
		t.Errorf("at last: %v", err)
	}
}
