package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// queued records a push of any repository and returns its run.
func queued(t testing.TB, s *Store, url string, ref layers.Ref, from, to string) agent.Run {
	t.Helper()
	id := must[agent.RepositoryID](t)(s.Repository(t.Context(), url))
	move := agent.Move{Repository: id, URL: url, Ref: ref, New: commit(to), Cuts: strings.Contains(string(ref), "feature")}
	if from != "" {
		move.Old = commit(from)
	}
	runs := must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{move}))
	if len(runs) != 1 {
		t.Fatalf("the push to %s gave %d runs", ref, len(runs))
	}
	return runs[0]
}

func state(t testing.TB, s *Store, id agent.RunID) (agent.State, string) {
	t.Helper()
	for _, run := range must[[]agent.RunSummary](t)(s.Runs(t.Context(), 1000)) {
		if run.ID == id {
			return run.State, run.Reason
		}
	}
	t.Fatalf("there is no run %d", id)
	return "", ""
}

func wantState(t testing.TB, s *Store, id agent.RunID, want agent.State, reason string) {
	t.Helper()
	if got, why := state(t, s, id); got != want || why != reason {
		t.Errorf("run %d is %s (%s), want %s (%s)", id, got, why, want, reason)
	}
}

// TestWindowOfOne keeps of a ref what is at work and the newest.
func TestWindowOfOne(t *testing.T) {
	s := newStore(t)
	queued(t, s, labURL, "refs/heads/main", "", "a")
	first := mustClaim(t, s, "one")
	second := queued(t, s, labURL, "refs/heads/main", "a", "b")
	third := queued(t, s, labURL, "refs/heads/main", "b", "c")
	wantState(t, s, first.ID, agent.Building, "")
	wantState(t, s, second.ID, agent.Superseded, "overtaken by run 3")
	wantState(t, s, third.ID, agent.Queued, "")
	if err := s.Extend(t.Context(), first, time.Minute); err != nil {
		t.Errorf("main's run at work is to end: %v", err)
	}
}

// TestCutOff ends the run of a branch that has moved on, whatever its owner
// does.
func TestCutOff(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		end  func(s *Store, run agent.Run) error
	}{
		{"by its owner", func(s *Store, run agent.Run) error {
			var end agent.CutOff
			if err := s.Extend(ctx, run, time.Minute); !errors.As(err, &end) {
				return fmt.Errorf("the claim was extended: %v", err)
			}
			return s.Finish(ctx, run, agent.Verdict{State: end.State, Reason: end.Reason})
		}},
		{"given back for another reason", func(s *Store, run agent.Run) error {
			return s.Release(ctx, run, agent.Delay{For: time.Hour, Reason: "the registry is down"})
		}},
		{"its owner is dead", func(s *Store, run agent.Run) error {
			if _, err := s.pool.Exec(ctx, "update runs set lease_until = now() - interval '1s' where id = $1", run.ID); err != nil {
				return err
			}
			claimed, err := s.Claim(ctx, "two", time.Minute)
			if claimed != nil && claimed.ID == run.ID {
				err = errors.New("it was claimed again")
			}
			return err
		}},
	} {
		s := newStore(t)
		queued(t, s, labURL, "refs/heads/feature/x", "", "a")
		run := mustClaim(t, s, "one")
		queued(t, s, labURL, "refs/heads/feature/x", "a", "b")
		wantState(t, s, run.ID, agent.Building, "")
		if err := c.end(s, run); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		wantState(t, s, run.ID, agent.Superseded, "overtaken by run 2")
	}
}

// TestDeletedRef has nobody build a branch that is gone.
func TestDeletedRef(t *testing.T) {
	s := newStore(t)
	queued(t, s, labURL, "refs/heads/feature/x", "", "a")
	run := mustClaim(t, s, "one")
	waiting := queued(t, s, labURL, "refs/heads/feature/y", "", "a")
	for _, ref := range []layers.Ref{"refs/heads/feature/x", "refs/heads/feature/y"} {
		gone := agent.Move{Repository: run.Move.Repository, URL: labURL, Ref: ref, Old: commit("a"), Cuts: true}
		must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{gone}))
	}
	var end agent.CutOff
	if err := s.Extend(t.Context(), run, time.Minute); !errors.As(err, &end) || end.State != agent.Cancelled {
		t.Errorf("the run of a deleted branch: %v", err)
	}
	wantState(t, s, waiting.ID, agent.Cancelled, "the ref was deleted")
}

// TestFairness has a repository with a cohort's branches, one with a single
// push, and one whose images are looked after again.
func TestFairness(t *testing.T) {
	s := newStore(t)
	queued(t, s, "https://git.example/c", "refs/heads/main", "", "a")
	refresh := mustClaim(t, s, "one")
	if err := s.Finish(t.Context(), refresh, agent.Verdict{State: agent.Succeeded}); err != nil {
		t.Fatal(err)
	}
	if run := must[*agent.Run](t)(s.Again(t.Context(), refresh.Move)); run == nil {
		t.Fatal("nothing was queued again")
	}
	for i := range 5 {
		queued(t, s, "https://git.example/a", layers.Ref(fmt.Sprint("refs/heads/feature/", i)), "", "a")
	}
	queued(t, s, "https://git.example/a", "refs/heads/main", "", "a")
	queued(t, s, "https://git.example/b", "refs/heads/feature/x", "", "a")

	var order []string
	for len(order) < 8 {
		run := mustClaim(t, s, "one")
		order = append(order, strings.TrimPrefix(run.Move.URL, "https://git.example/")+" "+strings.TrimPrefix(string(run.Move.Ref), "refs/heads/"))
		if err := s.Finish(t.Context(), run, agent.Verdict{State: agent.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	want := "a main, b feature/x, a feature/0, a feature/1, a feature/2, a feature/3, a feature/4, c main"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("claimed %s\nwant    %s", got, want)
	}
}

// TestShares gives each of two busy repositories half of the places, and
// neither more than it may have.
func TestShares(t *testing.T) {
	schema := newSchema()
	s := mustOpen(t, shared.URL(), schema)
	s.perRepository = 2
	for i := range 4 {
		for _, url := range []string{"https://git.example/a", "https://git.example/b"} {
			queued(t, s, url, layers.Ref(fmt.Sprint("refs/heads/feature/", i)), "", "a")
		}
	}
	counts := map[string]int{}
	for run := new(agent.Run); run != nil; {
		run = must[*agent.Run](t)(s.Claim(t.Context(), "one", time.Minute))
		if run == nil {
			break
		}
		counts[run.Move.URL]++
		if total := counts["https://git.example/a"] + counts["https://git.example/b"]; total == 2 && len(counts) < 2 {
			t.Errorf("the first two runs are %v", counts)
		}
	}
	if counts["https://git.example/a"] != 2 || counts["https://git.example/b"] != 2 {
		t.Errorf("claimed %v, want two of each", counts)
	}
}

func TestCancelAndRetry(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	var refusal Refusal
	refused := func(err error) {
		t.Helper()
		if !errors.As(err, &refusal) {
			t.Errorf("not refused: %v", err)
		}
	}
	refused(s.Cancel(ctx, 99, "x"))
	first := queued(t, s, labURL, "refs/heads/main", "", "a")
	_, err := s.Retry(ctx, first.ID)
	refused(err)
	if err := s.Cancel(ctx, first.ID, "not now"); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, first.ID, agent.Cancelled, "not now")
	refused(s.Cancel(ctx, first.ID, "again"))

	must[*agent.Run](t)(s.Retry(ctx, first.ID))
	second := mustClaim(t, s, "one")
	if err := s.Cancel(ctx, second.ID, "stop"); err != nil {
		t.Fatal(err)
	}
	var end agent.CutOff
	if err := s.Extend(ctx, second, time.Minute); !errors.As(err, &end) || end != (agent.CutOff{State: agent.Cancelled, Reason: "stop"}) {
		t.Errorf("a cancelled run that is building: %v", err)
	}
	if err := s.Finish(ctx, second, agent.Verdict{State: end.State, Reason: end.Reason}); err != nil {
		t.Fatal(err)
	}
	queued(t, s, labURL, "refs/heads/main", "a", "b")
	_, err = s.Retry(ctx, first.ID)
	refused(err)
}
