package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

var unet = deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: "unet"}

// image pinned in a container.
func pinned(name string) string { return "registry.example/lab/bert@" + string(sum(name)) }

func rolls(from, to string) deploy.Rollout {
	return deploy.Rollout{
		Environment: unet, UID: "1", Repository: labURL, Ref: "refs/heads/main", Commit: commit(to), Run: 1,
		Images: []deploy.Image{{Container: "main", Layer: "bert", From: pinned(from), To: pinned(to), Good: pinned(from)}},
	}
}

func TestReleases(t *testing.T) {
	s := newStore(t)
	const main, tag layers.Ref = "refs/heads/main", "refs/tags/v1"
	hints := must[<-chan struct{}](t)(s.ListenReleases(t.Context()))
	<-hints // it listens
	build(t, s, main, "", "a", map[string]string{"bert": "1"}, "bert")
	<-hints
	build(t, s, main, "a", "b", map[string]string{"bert": "2"}, "bert")
	build(t, s, tag, "", "a", map[string]string{"bert": "1"})
	build(t, s, "refs/heads/exam", "", "c", map[string]string{"bert": "3"}, "bert")
	released := func(tags bool, refs ...layers.Ref) map[layers.Ref]layers.Commit {
		commits := map[layers.Ref]layers.Commit{}
		for _, r := range must[[]deploy.Release](t)(s.Releases(t.Context(), labURL, refs, tags)) {
			commits[r.Ref] = r.Commit
			if !strings.HasPrefix(r.Images["bert"], "registry.example/lab/bert@sha256:") || r.Run == 0 || r.Recorded.IsZero() ||
				r.Parents["bert"] != "torch" || r.Parents["torch"] != "os" || len(r.Parents) != 3 {
				t.Errorf("the release is %+v", r)
			}
		}
		return commits
	}
	if got := released(false, main); len(got) != 1 || got[main] != commit("b") {
		t.Errorf("main: %v", got)
	}
	if got := released(true); len(got) != 1 || got[tag] != commit("a") {
		t.Errorf("tags: %v", got)
	}
	if got := must[[]layers.Ref](t)(s.ReleasedRefs(t.Context(), labURL)); !slices.Equal(got, []layers.Ref{"refs/heads/exam", tag, main}) {
		t.Errorf("the refs with a release are %v", got)
	}
	if got := released(false, "refs/heads/gone"); len(got) != 0 {
		t.Errorf("of no such ref: %v", got)
	}
}

func TestRollouts(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	advance := func(r deploy.Rollout, to deploy.State, reason string) deploy.Rollout {
		t.Helper()
		return must[deploy.Rollout](t)(s.Advance(t.Context(), r, to, reason))
	}
	first := must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("x", "a")))
	first = advance(first, deploy.Held, "not now")
	due := rolls("x", "b")
	due.Released = time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	due.Cause = "resumed"
	second := must[deploy.Rollout](t)(s.Begin(t.Context(), due))
	if got := must[[]deploy.Rollout](t)(s.Rollouts(t.Context()))[0].Released; !got.Equal(due.Released) || !first.Released.IsZero() {
		t.Errorf("it is due to a release of %v, want %v", got, due.Released)
	}
	if tally := must[deploy.Tally](t)(s.Tally(t.Context())); tally.Environments[deploy.Pending] != 1 || tally.Pinned != 0 || tally.Oldest[deploy.Pending] <= 0 || len(tally.Oldest) != 1 {
		t.Errorf("the tally is %+v", tally)
	}
	if _, err := s.Advance(t.Context(), first, deploy.Rolling, ""); !errors.Is(err, deploy.ErrMoved) {
		t.Errorf("a rollout that was superseded goes on: %v", err)
	}
	second.Remark = "it is unknown which driver it needs"
	second = advance(second, deploy.Pending, "")
	second = advance(must[[]deploy.Rollout](t)(s.Rollouts(t.Context()))[0], deploy.Rolling, "0 of 1")
	if second.Started.IsZero() || !second.Finished.IsZero() {
		t.Errorf("it rolls: %+v", second)
	}
	again := advance(second, deploy.RollingBack, "it crashes")
	advance(second, deploy.RollingBack, "it crashes") // an answer that was lost
	ended := advance(again, deploy.RolledBack, "it crashes")
	if _, err := s.Advance(t.Context(), ended, deploy.Rolling, ""); !errors.Is(err, deploy.ErrMoved) {
		t.Errorf("a rollout that has ended goes on: %v", err)
	}
	last := must[[]deploy.Rollout](t)(s.Rollouts(t.Context()))
	if len(last) != 1 || last[0].ID != second.ID || last[0].State != deploy.RolledBack || last[0].Images[0].Good != pinned("x") || last[0].Remark != second.Remark || last[0].Cause != "resumed" || last[0].Finished.IsZero() {
		t.Errorf("the last rollout is %+v", last)
	}
	all := must[[]deploy.Rollout](t)(s.RolloutsOf(t.Context(), unet, 10))
	if len(all) != 2 || all[1].State != deploy.Superseded || !strings.Contains(all[1].Reason, commit("b").Short()) {
		t.Errorf("the rollouts are %+v", all)
	}
	if n := count(t, s, "select count(*) from rollout_images where to_digest = $1 and layer = 'bert' and remark <> ''", sum("b")); n != 1 {
		t.Errorf("%d rollouts to the digest", n)
	}

	// What is gone and comes back begins anew.
	if err := s.Gone(t.Context(), unet, "deleted"); err != nil {
		t.Fatal(err)
	}
	if err := s.Observe(t.Context(), deploy.Standing{Environment: unet, UID: "2", Repository: labURL, Track: "main", State: deploy.Waiting}); err != nil {
		t.Fatal(err)
	}
	if last := must[[]deploy.Rollout](t)(s.Rollouts(t.Context())); len(last) != 0 {
		t.Errorf("it came back with %+v", last)
	}
}

func TestPins(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", map[string]string{"bert": "1"}, "bert")
	standing := deploy.Standing{Environment: unet, UID: "1", Repository: labURL, Track: "main", State: deploy.Healthy, Images: []deploy.Image{{Container: "main", Layer: "bert", To: pinned("now")}}}
	if err := s.Observe(t.Context(), standing); err != nil {
		t.Fatal(err)
	}
	hints := must[<-chan struct{}](t)(s.ListenReleases(t.Context()))
	<-hints
	full, images, err := s.CommitImages(t.Context(), labURL, string(commit("a")[:8]))
	if err != nil || full != commit("a") || images["bert"] == "" {
		t.Fatalf("%s, %v, %v", full, images, err)
	}
	for _, none := range []string{"ffffffff", "g"} {
		if _, _, err := s.CommitImages(t.Context(), labURL, none); !errors.As(err, new(Refusal)) {
			t.Errorf("commit %s: %v", none, err)
		}
	}
	pin := deploy.Pin{Environment: unet, Commit: full, Images: deploy.Images{"main": pinned("pinned")}, By: "ada"}
	if err := s.Pin(t.Context(), pin); err != nil {
		t.Fatal(err)
	}
	<-hints
	listed := must[[]deploy.Listed](t)(s.Environments(t.Context()))
	if len(listed) != 1 || listed[0].Pinned == nil || listed[0].Pinned.By != "ada" || listed[0].Pinned.Images["main"] != pinned("pinned") || listed[0].Rollout != nil {
		t.Errorf("the environments are %+v", listed)
	}
	must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("before", "next")))
	e := must[cleanup.Estate](t)(s.Estate(t.Context()))
	uses := func(e cleanup.Estate, gone bool) (names []string) {
		for _, name := range []string{"now", "pinned", "before", "next"} {
			if slices.ContainsFunc(e.Running, func(u cleanup.Use) bool { return u.Digest == sum(name) && u.Gone.IsZero() != gone }) {
				names = append(names, name)
			}
		}
		return names
	}
	if got := uses(e, false); len(got) != 4 {
		t.Errorf("clean-up knows of %v", got)
	}
	if done, err := s.Resume(t.Context(), unet); err != nil || done.Pinned.IsZero() || done.Passed != nil {
		t.Errorf("resume: %v, %v", done, err)
	}
	if resumed := must[[]deploy.Environment](t)(s.Resumed(t.Context())); len(resumed) != 1 || resumed[0] != unet {
		t.Errorf("to be resumed are %v", resumed)
	}
	must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("before", "again")))
	if resumed := must[[]deploy.Environment](t)(s.Resumed(t.Context())); len(resumed) != 0 {
		t.Errorf("to be resumed are still %v", resumed)
	}
	if done, err := s.Resume(t.Context(), unet); err != nil || done != (deploy.Resumption{}) {
		t.Errorf("resume again: %v, %v", done, err)
	}
	// What is held passes the gate that holds it, and no other.
	held := must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("before", "held")))
	hold := func(gate, reason string) {
		held.Gate = gate
		held = must[deploy.Rollout](t)(s.Advance(t.Context(), held, deploy.Held, reason))
	}
	hold("calendar", "frozen")
	for range 2 {
		if done, err := s.Resume(t.Context(), unet); err != nil || done.Passed == nil || *done.Passed != (deploy.Pass{Gate: "calendar", Reason: "frozen"}) {
			t.Errorf("resume of a hold: %+v, %v", done.Passed, err)
		}
	}
	hold("driver", "too old")
	want := []deploy.Pass{{Gate: "calendar", Reason: "frozen"}}
	if got := must[map[int64][]deploy.Pass](t)(s.Passed(t.Context())); len(got) != 1 || !slices.Equal(got[held.ID], want) {
		t.Errorf("passed are %v", got)
	}
	if last := must[[]deploy.Rollout](t)(s.Rollouts(t.Context())); last[0].Gate != "driver" || !slices.Equal(last[0].Passed, want) {
		t.Errorf("the last rollout is %+v", last[0])
	}
	hold("", "paused")
	if done, err := s.Resume(t.Context(), unet); err != nil || done != (deploy.Resumption{}) {
		t.Errorf("resume of what no gate holds: %v, %v", done, err)
	}
	if err := s.Gone(t.Context(), unet, "deleted"); err != nil {
		t.Fatal(err)
	}
	e = must[cleanup.Estate](t)(s.Estate(t.Context()))
	if there, gone := uses(e, false), uses(e, true); len(there) != 0 || len(gone) == 0 {
		t.Errorf("of an environment that is gone clean-up knows %v as there and %v as gone", there, gone)
	}
}

// TestLead has a second process wait for the first, and take over at its end.
func TestLead(t *testing.T) {
	s := newStore(t)
	first, leave := context.WithCancel(t.Context())
	leads, second := make(chan string, 2), make(chan error)
	go func() {
		_ = s.Lead(first, func(ctx context.Context) error {
			leads <- "first"
			<-ctx.Done()
			leads <- "first is done"
			return nil
		})
	}()
	if who := <-leads; who != "first" {
		t.Fatal(who)
	}
	go func() {
		second <- s.Lead(t.Context(), func(context.Context) error {
			leads <- "second"
			return errors.New("enough")
		})
	}()
	leave()
	for _, want := range []string{"first is done", "second"} {
		if who := <-leads; who != want {
			t.Errorf("%s, want %s", who, want)
		}
	}
	if err := <-second; err == nil || err.Error() != "enough" {
		t.Error(err)
	}
}
