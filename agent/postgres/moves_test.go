package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

func TestRepository(t *testing.T) {
	s := newStore(t)
	first := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	if again := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL)); again != first {
		t.Errorf("one URL has the ids %d and %d", first, again)
	}
	if other := must[agent.RepositoryID](t)(s.Repository(t.Context(), "ssh://git@git.example/lab.git")); other == first {
		t.Error("two URLs have one id")
	}
	for _, bad := range []string{"https://user:hunter2@git.example/lab.git", "/srv/lab\x00.git", "/srv/\xff", "", strings.Repeat("x", 3000)} {
		if _, err := s.Repository(t.Context(), bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("repository %.20q: %v", bad, err)
		}
	}
}

func TestRecord(t *testing.T) {
	s := newStore(t)
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	move := func(ref layers.Ref, from, to string) agent.Move {
		m := agent.Move{Repository: repository, URL: labURL, Ref: ref}
		if from != "" {
			m.Old = commit(from)
		}
		if to != "" {
			m.New = commit(to)
		}
		return m
	}
	quiet := move("refs/tags/old", "", "o")
	quiet.Quiet = true
	odd := layers.Ref("refs/heads/b\xfcro\x01\\x41")
	for _, step := range []struct {
		name  string
		moves []agent.Move
		runs  int
		refs  map[layers.Ref]layers.Commit
	}{
		{"new refs", []agent.Move{move("refs/heads/main", "", "a"), move(odd, "", "a"), quiet}, 2,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("a"), odd: commit("a"), "refs/tags/old": commit("o")}},
		{"seen already", []agent.Move{move("refs/heads/main", "", "a")}, 0,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("a"), odd: commit("a"), "refs/tags/old": commit("o")}},
		{"from elsewhere", []agent.Move{move("refs/heads/main", "z", "b")}, 0,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("a"), odd: commit("a"), "refs/tags/old": commit("o")}},
		{"on, twice", []agent.Move{move("refs/heads/main", "a", "b"), move("refs/heads/main", "b", "c")}, 2,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("c"), odd: commit("a"), "refs/tags/old": commit("o")}},
		{"deleted", []agent.Move{move(odd, "a", "")}, 0,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("c"), "refs/tags/old": commit("o")}},
		{"not at all", []agent.Move{move("refs/heads/main", "c", "c"), move(layers.Ref("refs/heads/"+strings.Repeat("x", 2000)), "", "a")}, 0,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("c"), "refs/tags/old": commit("o")}},
		{"nothing", nil, 0,
			map[layers.Ref]layers.Commit{"refs/heads/main": commit("c"), "refs/tags/old": commit("o")}},
	} {
		runs, err := s.Record(t.Context(), step.moves)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if len(runs) != step.runs {
			t.Errorf("%s: %d runs", step.name, len(runs))
		}
		for _, run := range runs {
			if run.ID == 0 || run.State != agent.Queued || run.Queued.IsZero() || run.Move.URL != labURL {
				t.Errorf("%s: run %+v", step.name, run)
			}
		}
		refs := must[map[layers.Ref]layers.Commit](t)(s.Refs(t.Context(), repository))
		if !maps.Equal(refs, step.refs) {
			t.Errorf("%s: the refs are %q", step.name, refs)
		}
		named := must[map[layers.Ref]layers.Commit](t)(s.Refs(t.Context(), repository, odd, "refs/heads/none"))
		if got, there := named[odd]; len(named) > 1 || got != step.refs[odd] || there != (got != "") {
			t.Errorf("%s: by name the refs are %q", step.name, named)
		}
	}
	if n := count(t, s, "select count(*) from moves"); n != 6 {
		t.Errorf("%d moves are recorded", n)
	}
}

// TestRecordAtOnce has two agents see the same moves.
func TestRecordAtOnce(t *testing.T) {
	schema := newSchema()
	stores := []*Store{mustOpen(t, shared.URL(), schema), mustOpen(t, shared.URL(), schema)}
	repository := must[agent.RepositoryID](t)(stores[0].Repository(t.Context(), labURL))
	var moves []agent.Move
	for i := range 20 {
		moves = append(moves, agent.Move{Repository: repository, Ref: layers.Ref(fmt.Sprint("refs/heads/", i)), New: commit("a")})
	}
	var group sync.WaitGroup
	for _, s := range stores {
		for range 3 {
			group.Go(func() {
				if _, err := s.Record(t.Context(), moves); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if n := count(t, stores[0], "select count(*) from runs"); n != len(moves) {
		t.Errorf("%d moves gave %d runs", len(moves), n)
	}
}

func TestClaim(t *testing.T) {
	s := newStore(t)
	if run := must[*agent.Run](t)(s.Claim(t.Context(), "one", time.Minute)); run != nil {
		t.Fatalf("an empty queue gave %+v", run)
	}
	first := push(t, s, "refs/heads/main", "", "a")
	run := mustClaim(t, s, "one")
	second := push(t, s, "refs/heads/main", "a", "b")
	other := push(t, s, "refs/heads/odd\xff", "", "c")
	if run.ID != first.ID || run.State != agent.Building || run.Attempt != 1 || run.Started.IsZero() || run.Move != first.Move {
		t.Errorf("claimed %+v, queued %+v", run, first)
	}
	// The second run of main waits for the first.
	if run := mustClaim(t, s, "two"); run.ID != other.ID || run.Move.Ref != other.Move.Ref {
		t.Errorf("claimed %+v", run)
	}
	if run := must[*agent.Run](t)(s.Claim(t.Context(), "three", time.Minute)); run != nil {
		t.Errorf("claimed %+v while its forerunner is at work", run)
	}
	if err := s.Finish(t.Context(), run, agent.Verdict{State: agent.Superseded, Reason: "by b"}); err != nil {
		t.Fatal(err)
	}
	if run := mustClaim(t, s, "three"); run.ID != second.ID {
		t.Errorf("claimed %+v", run)
	}
}

// TestClaimAtOnce has many agents claim: each run goes to one.
func TestClaimAtOnce(t *testing.T) {
	s := newStore(t)
	const runs = 20
	for i := range runs {
		push(t, s, layers.Ref(fmt.Sprint("refs/heads/", i)), "", "a")
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	owners := map[agent.RunID]string{}
	for i := range 8 {
		owner := fmt.Sprint("agent ", i)
		group.Go(func() {
			for {
				run, err := s.Claim(t.Context(), owner, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if run == nil {
					return
				}
				mu.Lock()
				if has := owners[run.ID]; has != "" {
					t.Errorf("run %d went to %s and to %s", run.ID, has, owner)
				}
				owners[run.ID] = owner
				mu.Unlock()
				if err := s.Finish(t.Context(), *run, agent.Verdict{State: agent.Succeeded}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	// A run that another one was just claiming is skipped, so some may be left,
	// but never with nobody left to take them.
	for {
		run := must[*agent.Run](t)(s.Claim(t.Context(), "last", time.Minute))
		if run == nil {
			break
		}
		owners[run.ID] = "last"
	}
	if len(owners) != runs {
		t.Errorf("%d of %d runs were claimed", len(owners), runs)
	}
}

// TestLease has another owner claim a run whose claim has lapsed, and another
// worker of the same one, as when their process was stopped for a while.
func TestLease(t *testing.T) {
	for _, next := range []string{"two", "one"} {
		s := newStore(t)
		ctx := t.Context()
		queued := push(t, s, "refs/heads/main", "", "a")
		old := *must[*agent.Run](t)(s.Claim(ctx, "one", -time.Second)) // lapsed at once
		if err := s.Extend(ctx, old, -time.Second); err != nil {
			t.Errorf("a claim that nobody else took cannot be extended: %v", err)
		}
		run := mustClaim(t, s, next)
		if run.ID != queued.ID || run.Attempt != 2 {
			t.Errorf("claimed %+v", run)
		}
		if err := s.Extend(ctx, old, time.Minute); !errors.Is(err, agent.ErrLost) {
			t.Errorf("a claim lost to %s was extended: %v", next, err)
		}
		if err := s.Release(ctx, old, agent.Delay{Reason: "trouble"}); !errors.Is(err, agent.ErrLost) {
			t.Errorf("release of a claim lost to %s: %v", next, err)
		}
		v := agent.Verdict{State: agent.Failed, Reason: "one's"}
		if err := s.Finish(ctx, old, v); !errors.Is(err, agent.ErrLost) {
			t.Errorf("finish of a claim lost to %s: %v", next, err)
		}
		if err := s.Extend(ctx, run, time.Minute); err != nil {
			t.Errorf("a claim cannot be extended: %v", err)
		}
		if err := s.Release(ctx, run, agent.Delay{For: time.Hour, Reason: "the registry\x00 is down"}); err != nil {
			t.Fatal(err)
		}
		if run := must[*agent.Run](t)(s.Claim(ctx, "two", time.Minute)); run != nil {
			t.Errorf("claimed %+v before its time", run)
		}
		if run := must[[]agent.RunSummary](t)(s.Runs(ctx, 0))[0]; run.State != agent.Queued || run.Reason != "the registry\uFFFD is down" {
			t.Errorf("the released run is %+v", run)
		}
		if err := s.Finish(ctx, run, v); !errors.Is(err, agent.ErrLost) {
			t.Errorf("finish of a claim that was given back: %v", err)
		}
	}
}

// TestLeaseOfAnOlderProgram has a program that knows no holds take a run over.
func TestLeaseOfAnOlderProgram(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	run := mustClaim(t, s, "one")
	if _, err := s.pool.Exec(t.Context(), "update runs set owner = 'older', attempt = attempt + 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Extend(t.Context(), run, time.Minute); !errors.Is(err, agent.ErrLost) {
		t.Errorf("a lost claim was extended: %v", err)
	}
}

// TestDoubted counts what ended in doubt, and nothing else.
func TestDoubted(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/main", "", "a")
	doubted := 0
	for _, doubtful := range []bool{false, true, false, true, false} {
		run := mustClaim(t, s, "one")
		if run.Doubted != doubted {
			t.Errorf("attempt %d has %d doubtful ones before it, want %d", run.Attempt, run.Doubted, doubted)
		}
		if err := s.Release(t.Context(), run, agent.Delay{Reason: "trouble", Doubtful: doubtful}); err != nil {
			t.Fatal(err)
		}
		if doubtful {
			doubted++
		}
	}
}

// TestReleaseAll holds that a dead owner's runs can be claimed at once, and that
// others keep theirs.
func TestReleaseAll(t *testing.T) {
	s := newStore(t)
	for i, owner := range []string{"dead", "alive", "dead"} {
		push(t, s, layers.Ref(fmt.Sprint("refs/heads/", i)), "", "a")
		mustClaim(t, s, owner)
	}
	if err := s.ReleaseAll(t.Context(), "dead", "it was killed"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []layers.Ref{"refs/heads/0", "refs/heads/2"} {
		if run := mustClaim(t, s, "next"); run.Move.Ref != want || run.Attempt != 2 {
			t.Errorf("claimed %+v, want %s", run, want)
		}
	}
	if run := must[*agent.Run](t)(s.Claim(t.Context(), "next", time.Minute)); run != nil {
		t.Errorf("claimed %+v of another", run)
	}
}

// TestOvertake has a later run of a ref overtake one that was put off.
func TestOvertake(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	push(t, s, "refs/heads/main", "", "a")
	first := mustClaim(t, s, "one")
	if err := s.Release(ctx, first, agent.Delay{For: time.Hour, Reason: "the registry is down"}); err != nil {
		t.Fatal(err)
	}
	second := push(t, s, "refs/heads/main", "a", "b")
	run := mustClaim(t, s, "two")
	if run.ID != second.ID {
		t.Errorf("claimed %+v", run)
	}
	// The first is due again while the second is at work.
	if _, err := s.pool.Exec(ctx, "update runs set not_before = now() where id = $1", first.ID); err != nil {
		t.Fatal(err)
	}
	if run := must[*agent.Run](t)(s.Claim(ctx, "one", time.Minute)); run != nil {
		t.Errorf("claimed %+v beside a later one of its ref", run)
	}
	if err := s.Finish(ctx, run, verdict(run, lab(t, s, nil))); err != nil {
		t.Fatal(err)
	}
	if run := must[*agent.Run](t)(s.Claim(ctx, "one", time.Minute)); run != nil {
		t.Errorf("claimed %+v after a later one of its ref", run)
	}
	if run := must[[]agent.RunSummary](t)(s.Runs(ctx, 0))[1]; run.State != agent.Superseded || run.Reason != "overtaken by run 2" {
		t.Errorf("the first run is %+v", run)
	}
}

func TestListen(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hints, err := s.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-hints // that it listens
	push(t, s, "refs/heads/main", "", "a")
	<-hints
	// A connection that is cut off is made anew.
	count(t, s, "select count(pg_terminate_backend(pid)) from pg_stat_activity where query = $1", "listen "+s.channel())
	<-hints
	push(t, s, "refs/heads/main", "a", "b")
	<-hints
	cancel()
	for range hints {
	}
}
