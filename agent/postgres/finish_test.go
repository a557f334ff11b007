package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// build pushes a commit, claims its run and finishes it with images of some
// versions.
func build(t testing.TB, s *Store, ref layers.Ref, from, to string, versions map[string]string, built ...string) ended {
	t.Helper()
	push(t, s, ref, from, to)
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, versions), built...)
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	return ended{v, run}
}

// ended is a run with its verdict.
type ended struct {
	agent.Verdict
	run agent.Run
}

func TestFinish(t *testing.T) {
	s := newStore(t)
	v := build(t, s, "refs/heads/main", "", "a", map[string]string{"bert": "1"}, "os", "torch", "bert", "gpt")
	run := must[[]agent.RunSummary](t)(s.Runs(t.Context(), 0))[0]
	if run.State != agent.Succeeded || run.Built != 4 || run.Finished.Before(run.Started) || run.Started.Before(run.Queued) {
		t.Errorf("the run is %+v", run)
	}
	snapshot := must[*agent.Snapshot](t)(s.Snapshot(t.Context(), v.Snapshot.Repository, commit("a")))
	if snapshot == nil || !snapshot.Complete || snapshot.URL != labURL || len(snapshot.Images) != 4 {
		t.Fatalf("the snapshot is %+v", snapshot)
	}
	for name, want := range v.Snapshot.Images {
		if got := snapshot.Images[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v\nand was  %+v", name, got, want)
		}
	}
	log := must[string](t)(s.Log(t.Context(), v.run.ID, "bert"))
	if log != "copied\n" {
		t.Errorf("the log is %q", log)
	}
	// The same once more, as after an answer that was lost on its way.
	before := count(t, s, "select sum(xmin::text::bigint)::bigint from (select xmin from runs union all select xmin from tags) rows")
	if err := s.Finish(t.Context(), v.run, v.Verdict); err != nil {
		t.Errorf("the same verdict again: %v", err)
	}
	if after := count(t, s, "select sum(xmin::text::bigint)::bigint from (select xmin from runs union all select xmin from tags) rows"); after != before {
		t.Error("the same verdict again wrote something")
	}
	v.State = agent.Cancelled
	if err := s.Finish(t.Context(), v.run, v.Verdict); err == nil || errors.Is(err, agent.ErrLost) {
		t.Errorf("another verdict: %v", err)
	}
	other := v.run
	other.Owner = "two"
	if err := s.Finish(t.Context(), other, v.Verdict); !errors.Is(err, agent.ErrLost) {
		t.Errorf("another owner: %v", err)
	}
	other.ID = 999
	if err := s.Finish(t.Context(), other, v.Verdict); err == nil {
		t.Error("a run that is not there was finished")
	}
}

// TestFinishWholeOrNot has the last part of a verdict be refused.
func TestFinishWholeOrNot(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, nil))
	v.Tags[0].Name = "not a tag"
	if err := s.Finish(t.Context(), run, v); err == nil {
		t.Fatal("a bad tag was written")
	}
	if n := count(t, s, "select (select count(*) from run_layers) + (select count(*) from snapshots) + (select count(*) from tags)"); n != 0 {
		t.Errorf("%d rows of a refused verdict are there", n)
	}
	if err := s.Extend(t.Context(), run, time.Minute); err != nil {
		t.Errorf("the run is not the owner's any more: %v", err)
	}
	v.Tags[0].Name = "main"
	v.Snapshot.Images["bert"] = image("bert", "never published", nil)
	if err := s.Finish(t.Context(), run, v); err == nil {
		t.Error("an image that was never published is in a snapshot")
	}
}

func TestFinishFailure(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	run := mustClaim(t, s, "one")
	images := lab(t, s, nil)
	v := verdict(run, images[:3])
	v.State, v.Reason, v.Snapshot.Complete = agent.Failed, "gpt failed", false
	v.Plan.Layers = append(v.Plan.Layers, &layers.PlannedLayer{Name: "gpt", Kind: layers.Experiment, Notes: []string{"nul \x00 \\u0000"}})
	v.Outcomes = append(v.Outcomes, pipeline.Outcome{
		Layer: "gpt", State: pipeline.Broken, Duration: time.Second,
		Log:   "what\x00ever\xff" + strings.Repeat("é", 3<<20),
		Steps: []pipeline.BuildStep{{Name: "RUN \x00\xff"}},
		Error: fmt.Errorf("build: %w", &pipeline.BuildError{
			File: "gpt/Dockerfile", Line: 7, Instruction: "RUN false", Tail: []string{"one", "two\x00"}, Err: errors.New("exit code: 1"),
		}),
	}, pipeline.Outcome{Layer: "later", State: pipeline.Blocked, Error: errors.New("its parent gpt has no image")},
		pipeline.Outcome{Layer: "old", State: pipeline.NotThere})
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	entries := must[[]agent.HistoryEntry](t)(s.Layers(t.Context(), run.ID))
	if len(entries) != 6 {
		t.Fatalf("%d layers", len(entries))
	}
	gpt := entries[3]
	want := agent.Failure{Text: "build: gpt/Dockerfile:7: RUN false: exit code: 1", File: "gpt/Dockerfile", Line: 7, Instruction: "RUN false", Tail: []string{"one", "two\uFFFD"}}
	if gpt.State != pipeline.Broken || !reflect.DeepEqual(gpt.Error, &want) {
		t.Errorf("gpt is %+v, %+v", gpt, gpt.Error)
	}
	if gpt.Notes[0] != "nul \uFFFD \\u0000" {
		t.Errorf("the note is %q", gpt.Notes[0])
	}
	log := must[string](t)(s.Log(t.Context(), run.ID, "gpt"))
	if len(log) > maxLog || !strings.HasPrefix(log, "what\uFFFDever\uFFFDé") || !strings.Contains(log, "bytes are left out") || !strings.HasSuffix(log, "éé") {
		t.Errorf("the log has %d bytes: %.20q", len(log), log)
	}
	if entries[4].Error.Text != "its parent gpt has no image" || entries[5].Error != nil {
		t.Errorf("the last layers are %+v", entries[4:])
	}
	if run := must[[]agent.RunSummary](t)(s.Runs(t.Context(), 1))[0]; run.Failed != 2 || run.Reused != 3 || run.Reason != "gpt failed" {
		t.Errorf("the run is %+v", run)
	}
}

// TestChangeSet follows layer_hash over a few commits.
func TestChangeSet(t *testing.T) {
	s := newStore(t)
	changes := func(commitName, layer string) string {
		t.Helper()
		var blobs []string
		err := s.pool.QueryRow(t.Context(), `select layer_hash::text[] from snapshot_images i join snapshots s on s.id = i.snapshot
			where s.commit = $1 and i.layer = $2`, commit(commitName), layer).Scan(&blobs)
		if err != nil {
			t.Fatalf("%s at %s: %v", layer, commitName, err)
		}
		var names []string
		for _, b := range blobs {
			for _, name := range []string{"os1", "torch1", "torch2", "bert1", "bert2", "gpt1"} {
				if digest.Digest(b) == sum("blob "+name) {
					names = append(names, name)
				}
			}
		}
		if len(names) != len(blobs) {
			t.Errorf("%s at %s has unknown blobs", layer, commitName)
		}
		return strings.Join(names, " ")
	}
	versions := map[string]string{"os": "1", "torch": "1", "bert": "1", "gpt": "1"}
	build(t, s, "refs/heads/main", "", "a", versions)
	versions["bert"] = "2"
	build(t, s, "refs/heads/main", "a", "b", versions)
	// A new branch is against the repository's last snapshot.
	build(t, s, "refs/heads/feature", "", "c", versions)
	versions["torch"] = "2"
	build(t, s, "refs/heads/feature", "c", "d", versions)
	// Main goes on from where main was.
	versions["torch"] = "1"
	build(t, s, "refs/heads/main", "b", "e", versions)
	for _, c := range []struct{ commit, layer, want string }{
		{"a", "os", "os1"}, {"a", "bert", "os1 torch1 bert1"},
		{"b", "os", ""}, {"b", "bert", "bert2"}, {"b", "gpt", ""},
		{"c", "bert", ""}, {"c", "os", ""},
		{"d", "torch", "torch2"}, {"d", "bert", ""},
		{"e", "torch", ""}, {"e", "gpt", ""},
	} {
		if got := changes(c.commit, c.layer); got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.layer, c.commit, got, c.want)
		}
	}
}

// TestSnapshotAgain has two runs of one commit.
func TestSnapshotAgain(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	push(t, s, "refs/heads/feature", "", "a")
	first, second := mustClaim(t, s, "one"), mustClaim(t, s, "two")
	repository := first.Move.Repository
	images := lab(t, s, nil)
	v := verdict(first, images[:3])
	v.State, v.Reason, v.Snapshot.Complete = agent.Failed, "gpt failed", false
	if err := s.Finish(t.Context(), first, v); err != nil {
		t.Fatal(err)
	}
	if got := must[*agent.Snapshot](t)(s.Snapshot(t.Context(), repository, commit("a"))); got.Complete || len(got.Images) != 3 {
		t.Errorf("the first snapshot is %+v", got)
	}
	newer := must[pipeline.Image](t)(s.Publish(t.Context(), image("bert", "newer", &images[1])))
	if err := s.Finish(t.Context(), second, verdict(second, []pipeline.Image{images[0], newer, images[3]})); err != nil {
		t.Fatal(err)
	}
	got := must[*agent.Snapshot](t)(s.Snapshot(t.Context(), repository, commit("a")))
	if !got.Complete || len(got.Images) != 3 || got.Images["bert"].Digest != newer.Digest || got.Images["gpt"].Digest != images[3].Digest {
		t.Errorf("the second snapshot is %+v", got)
	}
	if n := count(t, s, "select count(*) from snapshots"); n != 1 {
		t.Errorf("%d snapshots of one commit", n)
	}
}

func TestRecorded(t *testing.T) {
	s := newStore(t)
	ref := layers.Ref("refs/heads/odd\xff")
	first := build(t, s, ref, "", "a", nil)
	repository := first.Snapshot.Repository
	recorded := func(ref layers.Ref, before agent.RunID) *agent.Recorded {
		t.Helper()
		return must[*agent.Recorded](t)(s.Recorded(t.Context(), repository, ref, before))
	}
	if got := recorded(ref, first.run.ID); got != nil {
		t.Errorf("before the first run there was %+v", got)
	}
	second := build(t, s, ref, "a", "b", map[string]string{"gpt": "2"})
	build(t, s, "refs/heads/other", "", "c", nil)
	if got := recorded("refs/heads/new", second.run.ID+9); got != nil {
		t.Errorf("a new ref has %+v", got)
	}
	// A run without images changes nothing.
	push(t, s, ref, "b", "d")
	run := mustClaim(t, s, "one")
	if err := s.Finish(t.Context(), run, agent.Verdict{State: agent.Failed, Reason: "lab-layers.yaml: bad"}); err != nil {
		t.Fatal(err)
	}
	for before, want := range map[agent.RunID]struct {
		commit layers.Commit
		gpt    layers.Key
	}{
		second.run.ID: {commit("a"), key("gpt")},
		run.ID:        {commit("b"), key("gpt2")},
		run.ID + 1:    {commit("b"), key("gpt2")},
	} {
		got := recorded(ref, before)
		if got == nil || got.Commit != want.commit || got.Layers["gpt"].Key != want.gpt || len(got.Layers) != 4 {
			t.Errorf("before run %d there was %+v", before, got)
		}
	}
	if got := must[*agent.Snapshot](t)(s.Snapshot(t.Context(), repository, commit("d"))); got != nil {
		t.Errorf("the failed commit has %+v", got)
	}
}

func TestTagsMove(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	v := build(t, s, "refs/heads/main", "a", "b", map[string]string{"bert": "2"}).Verdict
	trace := must[*Trace](t)(s.Trace(t.Context(), "bert:main"))
	if trace.Images[0].Digest != v.Snapshot.Images["bert"].Digest {
		t.Errorf("bert:main is %s", trace.Images[0].Digest)
	}
	// One tag named twice: the last counts.
	push(t, s, "refs/heads/main", "b", "c")
	run := mustClaim(t, s, "one")
	images := lab(t, s, nil)
	v = verdict(run, images)
	v.Tags = append(v.Tags, v.Tags[2])
	v.Tags[4].Digest, v.Tags[4].Expires = images[3].Digest, time.Unix(2000000000, 0)
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	trace = must[*Trace](t)(s.Trace(t.Context(), "bert:main"))
	tags := trace.Images[0].Tags
	if trace.Images[0].Digest != images[3].Digest || len(tags) != 2 || !tags[0].Expires.Equal(v.Tags[4].Expires) || !tags[1].Expires.IsZero() {
		t.Errorf("bert:main is %s with %+v", trace.Images[0].Digest, tags)
	}
}

func TestTags(t *testing.T) {
	s := newStore(t)
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	build(t, s, "refs/heads/main", "", "a", nil)
	push(t, s, "refs/heads/odd\xff", "", "b")
	run := mustClaim(t, s, "one")
	v := verdict(run, lab(t, s, nil))
	for i := range v.Tags {
		v.Tags[i].Name = "odd"
		v.Tags[i].Expires = time.Now().Add(time.Duration(2*(i%2)-1) * time.Hour) // every other one has expired
	}
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	tags := must[map[layers.Ref][]agent.Tag](t)(s.Tags(t.Context(), repository))
	odd := tags["refs/heads/odd\xff"]
	if len(tags) != 2 || len(tags["refs/heads/main"]) != 4 || len(odd) != 2 || odd[0].Name != "odd" || odd[0].Expires.Before(time.Now()) {
		t.Errorf("the repository has %+v", tags)
	}
	if tags := must[map[layers.Ref][]agent.Tag](t)(s.Tags(t.Context(), repository+1)); len(tags) != 0 {
		t.Errorf("another has %+v", tags)
	}
}
