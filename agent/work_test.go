package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// claims is a store with one queued run, which is lost to another agent at
// Finish if so told. What a real store does with these calls is tested with
// PostgreSQL; here it is which of them the agent makes.
type claims struct {
	Store
	run    *Run
	lost   bool
	called []string
	delay  Delay
}

func (c *claims) Claim(_ context.Context, _ string, _ time.Duration, urls ...string) (*Run, error) {
	if len(urls) != 1 || urls[0] != "watched" {
		return nil, fmt.Errorf("claims runs of %q", urls)
	}
	run := c.run
	c.run = nil
	return run, nil
}

func (c *claims) Refs(context.Context, RepositoryID, ...layers.Ref) (map[layers.Ref]layers.Commit, error) {
	return nil, nil
}

func (c *claims) Release(_ context.Context, _ Run, delay Delay) error {
	c.delay = delay
	c.called = append(c.called, "release: "+delay.Reason)
	return nil
}

func (c *claims) Finish(_ context.Context, _ Run, v Verdict) error {
	c.called = append(c.called, "finish: "+string(v.State))
	if c.lost {
		return fmt.Errorf("finish: %w", ErrLost)
	}
	return nil
}

// refusing is a repository that cannot be fetched from.
type refusing struct {
	Source
	err error
}

func (refusing) URL() string                                              { return "watched" }
func (r refusing) Fetch(context.Context, layers.Ref, layers.Commit) error { return r.err }

func TestWorkEndsEveryClaim(t *testing.T) {
	gone := fmt.Errorf("fetch: %w", errGone)
	for _, c := range []struct {
		name  string
		err   error
		lost  bool
		call  string
		again bool // Progress hears that it goes on elsewhere
		ended bool // and that it ended
	}{
		{name: "an outage", err: errors.New("no route"), call: "release: no route", again: true},
		{name: "a commit that is gone", err: gone, call: "finish: superseded", ended: true},
		{name: "a lost claim", err: gone, lost: true, call: "finish: superseded", again: true},
	} {
		store := &claims{lost: c.lost, run: &Run{ID: 1, Attempt: 2, Move: Move{URL: "watched", Ref: "refs/heads/main", Old: "a", New: "b"}}}
		var again, ended bool
		a := &Agent{
			Store: store, Carrier: &Carrier{}, Sources: []Source{refusing{err: c.err}}, Log: slog.New(slog.DiscardHandler),
			Progress: Progress{Again: func(Run, error) { again = true }, End: func(Run, Verdict) { ended = true }},
		}
		if worked, err := a.Work(t.Context()); !worked || err != nil {
			t.Errorf("%s: worked %v, %v", c.name, worked, err)
		}
		if len(store.called) != 1 || store.called[0] != c.call || again != c.again || ended != c.ended {
			t.Errorf("%s: %q, again %v, ended %v", c.name, store.called, again, ended)
		}
		if again && !c.lost && store.delay.For != 4*time.Second {
			t.Errorf("%s: put off for %v", c.name, store.delay.For)
		}
		if worked, err := a.Work(t.Context()); worked || err != nil {
			t.Errorf("%s: with no run: worked %v, %v", c.name, worked, err)
		}
	}
}
