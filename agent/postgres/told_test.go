package postgres

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const target = "gitea https://git.example/api/v1"

// take takes a run that ended and was not told.
func take(t testing.TB, s *Store) *agent.Report {
	t.Helper()
	return must[*agent.Report](t)(s.Untold(t.Context(), target, time.Minute, false, labURL))
}

func wantTaken(t testing.TB, s *Store, want agent.RunID) *agent.Report {
	t.Helper()
	report := take(t, s)
	if report == nil || report.Run.ID != want {
		t.Fatalf("took %+v, want run %d", report, want)
	}
	return report
}

func wantNoneTaken(t testing.TB, s *Store) {
	t.Helper()
	if report := take(t, s); report != nil {
		t.Fatalf("took run %d, %s", report.Run.ID, report.Run.State)
	}
}

func told(t testing.TB, s *Store, run agent.RunID, state agent.State) {
	t.Helper()
	if err := s.Told(t.Context(), target, run, state); err != nil {
		t.Fatal(err)
	}
}

func execute(t testing.TB, s *Store, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// lapse makes all leases and pauses of telling end.
func lapse(t testing.TB, s *Store) {
	execute(t, s, "update told set not_before = now() - interval '1 s'")
}

// end has whoever has a run finish it.
func end(t testing.TB, s *Store, run agent.Run, v agent.Verdict) {
	t.Helper()
	claimed := must[*agent.RunSummary](t)(s.Run(t.Context(), run.ID))
	if err := s.Finish(t.Context(), claimed.Run, v); err != nil {
		t.Fatal(err)
	}
}

// TestUntold follows a run from its end to being told.
func TestUntold(t *testing.T) {
	s := newStore(t)
	images := lab(t, s, nil)
	run := push(t, s, "refs/heads/main", "", "a")
	wantNoneTaken(t, s)
	mustClaim(t, s, "one")
	wantNoneTaken(t, s)
	v := verdict(run, images, "torch", "bert")
	v.State, v.Reason = agent.Failed, "gpt: Dockerfile:3: RUN x: exit code 1"
	v.Outcomes[3] = pipeline.Outcome{Layer: "gpt", State: pipeline.Broken, Error: &pipeline.BuildError{
		File: "Dockerfile", Line: 3, Instruction: "RUN x", Tail: []string{"no such x"}, Err: fmt.Errorf("exit code 1")}}
	delete(v.Snapshot.Images, "gpt")
	v.Tags = nil
	end(t, s, run, v)

	report := wantTaken(t, s, run.ID)
	if report.Run.State != agent.Failed || report.Attempt != 1 || report.Twin != 0 || report.Next != 0 {
		t.Errorf("report %+v", report)
	}
	if built, reused, failed := report.Count(); built != 2 || reused != 1 || failed != 1 {
		t.Errorf("%d built, %d reused, %d failed", built, reused, failed)
	}
	if l := report.Layers[1]; l.Name != "torch" || l.Step != layers.Build || l.Seconds != 1.5 || l.Own != 1000 || len(l.Reasons) != 1 {
		t.Errorf("torch is told as %+v", l)
	}
	if l := report.Failed(); l == nil || l.Error.Line != 3 || l.Error.Tail[0] != "no such x" {
		t.Errorf("the failure is told as %+v", l)
	}
	wantNoneTaken(t, s) // it is taken

	// The one who took it was killed: another takes it up.
	lapse(t, s)
	if again := wantTaken(t, s, run.ID); again.Attempt != 2 {
		t.Errorf("attempt %d", again.Attempt)
	}
	if err := s.Unheard(t.Context(), target, run.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	wantNoneTaken(t, s) // put off
	lapse(t, s)
	wantTaken(t, s, run.ID)
	told(t, s, run.ID, agent.Failed)
	wantNoneTaken(t, s)
	lapse(t, s)
	wantNoneTaken(t, s)

	// Others are told for themselves.
	if other := must[*agent.Report](t)(s.Untold(t.Context(), "other", time.Minute, false, labURL)); other == nil || other.Attempt != 1 {
		t.Errorf("the other target is told %+v", other)
	}
	if other := must[*agent.Report](t)(s.Untold(t.Context(), "third", time.Minute, false, "https://elsewhere")); other != nil {
		t.Errorf("a repository that is not watched gives %+v", other)
	}
}

// TestPendingThenEnd tells that a run builds, and then its end, never the other
// way round.
func TestPendingThenEnd(t *testing.T) {
	s := newStore(t)
	telling := func(run agent.RunID) *agent.Report {
		t.Helper()
		return must[*agent.Report](t)(s.Telling(t.Context(), target, time.Minute, run))
	}
	waiting := func() *agent.Report {
		t.Helper()
		return must[*agent.Report](t)(s.Untold(t.Context(), target, time.Minute, true, labURL))
	}
	run := push(t, s, "refs/heads/main", "", "a")
	if waiting() != nil {
		t.Fatal("a run that was queued just now is told")
	}
	execute(t, s, "update runs set queued = now() - interval '1 min'")
	if r := waiting(); r == nil || r.Run.State != agent.Queued {
		t.Fatalf("the queued run gives %+v", r)
	}
	told(t, s, run.ID, agent.Queued)
	if waiting() != nil || telling(run.ID) != nil {
		t.Fatal("a queued run is told twice")
	}
	mustClaim(t, s, "one")
	if r := telling(run.ID); r == nil || r.Run.State != agent.Building {
		t.Fatalf("the run at work gives %+v", r)
	}
	// It ends while that is being told: its end waits.
	end(t, s, run, verdict(run, lab(t, s, nil)))
	wantNoneTaken(t, s)
	told(t, s, run.ID, agent.Building)
	wantTaken(t, s, run.ID)
	told(t, s, run.ID, agent.Succeeded)
	if telling(run.ID) != nil || waiting() != nil {
		t.Error("something is told after the end")
	}
}

// TestOneOfARef tells of the runs of a ref one after another, and says of each
// what came after it.
func TestOneOfARef(t *testing.T) {
	s := newStore(t)
	ref, other := layers.Ref("refs/heads/main"), layers.Ref("refs/heads/dev")
	images := lab(t, s, nil)
	first := push(t, s, ref, "", "a")
	mustClaim(t, s, "one")
	end(t, s, first, verdict(first, images))
	twin := must[*agent.Run](t)(s.Again(t.Context(), first.Move))
	push(t, s, ref, "a", "b") // the twin is superseded
	elsewhere := push(t, s, other, "", "c")
	mustClaim(t, s, "one")
	mustClaim(t, s, "one")
	end(t, s, elsewhere, verdict(elsewhere, images))

	report := wantTaken(t, s, first.ID)
	if report.Twin != twin.ID || report.Next != twin.ID+1 || report.NextCommit != commit("b") {
		t.Errorf("report %+v", report)
	}
	wantTaken(t, s, elsewhere.ID) // the twin waits, another ref does not
	told(t, s, first.ID, agent.Succeeded)
	report = wantTaken(t, s, twin.ID)
	if report.Run.State != agent.Superseded || report.Twin != 0 || report.Next != twin.ID+1 {
		t.Errorf("report %+v", report)
	}
}

// TestToldOnce lets many take what is to be told: each run is taken once.
func TestToldOnce(t *testing.T) {
	s := newStore(t)
	images := lab(t, s, nil)
	const runs = 20
	for i := range runs {
		run := push(t, s, layers.Ref(fmt.Sprintf("refs/heads/b%d", i%5)), map[bool]string{true: fmt.Sprint(i - 5)}[i >= 5], fmt.Sprint(i))
		mustClaim(t, s, "one")
		end(t, s, run, verdict(run, images))
	}
	var mu sync.Mutex
	taken := map[agent.RunID]int{}
	refs := map[layers.Ref]agent.RunID{}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				report, err := s.Untold(t.Context(), target, time.Minute, false, labURL)
				if err != nil {
					t.Error(err)
					return
				}
				if report == nil {
					return // what is left others have taken
				}
				ref := report.Run.Move.Ref
				mu.Lock()
				if other := refs[ref]; other != 0 {
					t.Errorf("runs %d and %d of %s are told at once", other, report.Run.ID, ref)
				}
				refs[ref] = report.Run.ID
				taken[report.Run.ID]++
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				delete(refs, ref)
				mu.Unlock()
				if err := s.Told(t.Context(), target, report.Run.ID, report.Run.State); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if len(taken) != runs {
		t.Errorf("%d runs were told", len(taken))
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("run %d was told %d times", id, n)
		}
	}
}

// TestOldEndsAreLeft tells nothing of runs that ended long ago.
func TestOldEndsAreLeft(t *testing.T) {
	s := newStore(t)
	run := push(t, s, "refs/heads/main", "", "a")
	mustClaim(t, s, "one")
	end(t, s, run, verdict(run, lab(t, s, nil)))
	execute(t, s, "update runs set finished = now() - interval '25 hours'")
	wantNoneTaken(t, s)
}

// TestEstimates takes the median of a layer's builds, and of those alone.
func TestEstimates(t *testing.T) {
	s := newStore(t)
	images := lab(t, s, nil)
	before := ""
	for i, seconds := range []int{10, 1000, 20} {
		run := push(t, s, "refs/heads/main", before, fmt.Sprint(i))
		before = fmt.Sprint(i)
		mustClaim(t, s, "one")
		v := verdict(run, images, "torch")
		v.Outcomes[1].Duration = time.Duration(seconds) * time.Second
		end(t, s, run, v)
	}
	id := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	got := must[map[layers.Name]float64](t)(s.Estimates(t.Context(), id))
	if len(got) != 1 || got["torch"] != 20 {
		t.Errorf("estimates %v", got)
	}
}
