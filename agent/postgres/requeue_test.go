package postgres

import (
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
)

// TestAgain queues a commit again only while the ref is there and no run of it
// is open.
func TestAgain(t *testing.T) {
	s := newStore(t)
	id := must[agent.RepositoryID](t)(s.Repository(t.Context(), "https://git.example/lab"))
	move := agent.Move{Repository: id, URL: "https://git.example/lab", Ref: "refs/heads/main", New: commit("one")}
	must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{move}))
	if run := must[*agent.Run](t)(s.Again(t.Context(), move)); run != nil {
		t.Errorf("queued run %d beside the open one", run.ID)
	}
	first := mustClaim(t, s, "a")
	if err := s.Finish(t.Context(), first, agent.Verdict{State: agent.Failed, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	run := must[*agent.Run](t)(s.Again(t.Context(), move))
	if run == nil {
		t.Fatal("nothing queued")
	}
	claimed := mustClaim(t, s, "a")
	if claimed.ID != run.ID || claimed.Move.Old != move.New || claimed.Move.New != move.New {
		t.Errorf("claimed %+v, want run %d", claimed, run.ID)
	}
	if err := s.Finish(t.Context(), claimed, agent.Verdict{State: agent.Failed, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	move.New = commit("elsewhere")
	if run := must[*agent.Run](t)(s.Again(t.Context(), move)); run != nil {
		t.Errorf("queued run %d of a commit that the ref is not at", run.ID)
	}
}

// TestClaimOfRepositories claims no run of another agent's repository.
func TestClaimOfRepositories(t *testing.T) {
	s := newStore(t)
	for _, url := range []string{"https://git.example/a", "https://git.example/b"} {
		id := must[agent.RepositoryID](t)(s.Repository(t.Context(), url))
		must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{{Repository: id, URL: url, Ref: "refs/heads/main", New: commit(url)}}))
	}
	if run := must[*agent.Run](t)(s.Claim(t.Context(), "a", agent.Lease, "https://git.example/c")); run != nil {
		t.Errorf("claimed a run of %s", run.Move.URL)
	}
	run := must[*agent.Run](t)(s.Claim(t.Context(), "a", agent.Lease, "https://git.example/b"))
	if run == nil || run.Move.URL != "https://git.example/b" {
		t.Errorf("claimed %+v", run)
	}
}

// TestBegan tells when the newest run of a ref read what it is to build.
func TestBegan(t *testing.T) {
	s := newStore(t)
	id := must[agent.RepositoryID](t)(s.Repository(t.Context(), "https://git.example/lab"))
	began := func() time.Time { return must[time.Time](t)(s.Began(t.Context(), id, "refs/heads/main")) }
	if at := began(); !at.IsZero() {
		t.Errorf("no run began at %s", at)
	}
	must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{{Repository: id, URL: "https://git.example/lab", Ref: "refs/heads/main", New: commit("one")}}))
	if first, second := began(), began(); !second.After(first) {
		t.Errorf("one that waits began at %s, and at %s", first, second)
	}
	run := mustClaim(t, s, "a")
	if at := began(); !at.Equal(run.Started) {
		t.Errorf("began at %s, not %s", at, run.Started)
	}
}
