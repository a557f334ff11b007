package postgres

import (
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

// TestTurns has one run at a time build a key, for as long as its claim lasts.
func TestTurns(t *testing.T) {
	s := newStore(t)
	push(t, s, "refs/heads/a", "", "a")
	push(t, s, "refs/heads/b", "", "a")
	one, two := mustClaim(t, s, "one"), mustClaim(t, s, "two")
	take := func(run agent.Run, want bool) {
		t.Helper()
		if ours := must[bool](t)(s.Take(t.Context(), run, key("bert"))); ours != want {
			t.Errorf("run %d has it: %v", run.ID, ours)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	take(one, true)
	take(one, true) // an answer may be lost on its way
	take(two, false)
	check(s.Leave(t.Context(), two, key("bert")))
	take(two, false)
	check(s.Leave(t.Context(), one, key("bert")))
	take(two, true)
	take(one, false)

	// Its claim lapses, and its run is claimed anew.
	check(s.Extend(t.Context(), two, -time.Second))
	take(one, true)
	check(s.Leave(t.Context(), one, key("bert")))
	check(s.Extend(t.Context(), two, -time.Second))
	take(two, true)
	again := mustClaim(t, s, "two")
	take(again, true)
	take(two, false)

	check(s.Finish(t.Context(), again, agent.Verdict{State: agent.Failed, Reason: "x"}))
	if n := count(t, s, "select count(*) from turns"); n != 0 {
		t.Errorf("%d are left", n)
	}
	take(one, true)
}
