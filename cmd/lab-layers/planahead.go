package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

// stretchCommits is how many commits on end one goroutine plans: neighbours
// share most of their work, so side by side they would do it twice.
const stretchCommits = 16

// planned is one commit of a history with its plan: nil if the commit has no
// configuration, or a broken one.
type planned struct {
	commit git.CommitInfo
	plan   *layers.Plan
	took   time.Duration
}

// stretch is a few commits on end, planned as far as the first error.
type stretch struct {
	plans []planned
	err   error
}

// planAhead plans a history, stretches of it side by side, and yields the
// commits in their order, each plan explained by the plan before it; old is the
// one before the first, nil if there is none. Only a few stretches are in
// memory at a time.
func (v *view) planAhead(ctx context.Context, history []git.CommitInfo, old *layers.Plan) iter.Seq2[planned, error] {
	return func(yield func(planned, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		queue := make(chan chan stretch, runtime.GOMAXPROCS(0)-1)
		running.Go(func() {
			defer close(queue)
			for commits := range slices.Chunk(history, stretchCommits) {
				out := make(chan stretch, 1)
				select {
				case queue <- out:
				case <-ctx.Done():
					return
				}
				running.Go(func() { out <- v.planStretch(ctx, commits) })
			}
		})
		for out := range queue {
			done := <-out
			for i, p := range done.plans {
				if p.plan != nil && !explained(done.plans[:i]) {
					began := time.Now()
					if err := v.explain(ctx, old, p.plan); err != nil {
						yield(p, err)
						return
					}
					p.took += time.Since(began)
				}
				if !yield(p, nil) {
					return
				}
				if p.plan != nil {
					old = p.plan
				}
			}
			if done.err != nil {
				yield(planned{}, done.err)
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(planned{}, err)
		}
	}
}

// explained reports whether a plan that comes after these of its stretch has
// one before it there.
func explained(before []planned) bool {
	return slices.ContainsFunc(before, func(p planned) bool { return p.plan != nil })
}

// planStretch plans commits one after the other, and explains each by the one
// before it; the first is left for who knows what was before.
func (v *view) planStretch(ctx context.Context, commits []git.CommitInfo) (s stretch) {
	var old *layers.Plan
	for _, commit := range commits {
		began := time.Now()
		plan, err := v.plan(ctx, commit.Commit)
		if err != nil && !errors.As(err, new(inputError)) {
			s.err = fmt.Errorf("plan %s: %w", commit.Commit.Short(), err)
			return s
		}
		if plan != nil && old != nil {
			if s.err = v.explain(ctx, old, plan); s.err != nil {
				return s
			}
		}
		if plan != nil {
			old = plan
		}
		s.plans = append(s.plans, planned{commit, plan, time.Since(began)})
	}
	return s
}

func (v *view) explain(ctx context.Context, old, plan *layers.Plan) error {
	if err := v.planner.Compare(ctx, old, plan); err != nil {
		return fmt.Errorf("plan %s: %w", plan.To.Short(), err)
	}
	return nil
}
