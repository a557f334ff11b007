package postgres

import (
	"slices"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
)

func TestQueue(t *testing.T) {
	s := newStore(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if queue := must[[]agent.QueueState](t)(s.Queue(t.Context())); len(queue) != 0 {
		t.Errorf("an empty queue: %+v", queue)
	}
	build(t, s, "refs/heads/main", "", "a", nil, "os")
	first := push(t, s, "refs/heads/x", "", "a")
	push(t, s, "refs/heads/y", "", "a")
	push(t, s, "refs/heads/z", "", "a")
	mustClaim(t, s, "one")
	if _, err := s.pool.Exec(t.Context(), "update runs set queued = queued - interval '1 hour' where ref = 'refs/heads/z'"); err != nil {
		t.Fatal(err)
	}
	queue := must[[]agent.QueueState](t)(s.Queue(t.Context()))
	for i := range queue {
		if queue[i].State == agent.Queued && queue[i].Oldest.Truncate(60e9).Hours() != 1 {
			t.Errorf("the oldest was queued %s ago", queue[i].Oldest)
		}
		queue[i].Oldest = 0
	}
	if want := []agent.QueueState{{State: agent.Building, Runs: 1}, {State: agent.Queued, Runs: 2}}; !slices.Equal(queue, want) {
		t.Errorf("%+v, want %+v", queue, want)
	}

	run := must[*agent.RunSummary](t)(s.Run(t.Context(), first.ID))
	if run == nil || run.ID != first.ID || run.State != agent.Building || run.Move.Ref != "refs/heads/x" {
		t.Errorf("%+v", run)
	}
	if run := must[*agent.RunSummary](t)(s.Run(t.Context(), 1_000_000)); run != nil {
		t.Errorf("a run that is not there: %+v", run)
	}
}
