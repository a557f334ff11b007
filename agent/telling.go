package agent

import (
	"context"
	"time"
)

// telling is one thing that a target is to be told of, taken from the records.
type telling struct {
	of      string // what it is about, for the log
	id      int64
	attempt int
	tell    func(context.Context) error
	told    func(context.Context) error
	unheard func(context.Context, time.Duration) error
}

// ofRun tells of a run.
func (p *post) ofRun(r *Report) *telling {
	name := p.target.Name()
	return &telling{
		of: "run", id: int64(r.Run.ID), attempt: r.Attempt,
		tell: func(ctx context.Context) error { return p.target.Tell(ctx, *r) },
		told: func(ctx context.Context) error { return p.Records.Told(ctx, name, r.Run.ID, r.Run.State) },
		unheard: func(ctx context.Context, after time.Duration) error {
			return p.Records.Unheard(ctx, name, r.Run.ID, after)
		},
	}
}

// nextRollout takes a rollout that is to be told of; nil if there is none, or the
// target is told of none.
func (p *post) nextRollout(ctx context.Context) (*telling, error) {
	target, ok := p.target.(RolloutTarget)
	if !ok || p.Rollouts == nil {
		return nil, nil
	}
	name := p.target.Name()
	r, err := p.Rollouts.UntoldRollout(ctx, name, tellLease, p.Repositories...)
	if r == nil || err != nil {
		return nil, err
	}
	return &telling{
		of: "rollout", id: r.ID, attempt: r.Attempt,
		tell: func(ctx context.Context) error { return target.TellRollout(ctx, *r) },
		told: func(ctx context.Context) error { return p.Rollouts.ToldRollout(ctx, name, r.ID, r.State) },
		unheard: func(ctx context.Context, after time.Duration) error {
			return p.Rollouts.UnheardRollout(ctx, name, r.ID, after)
		},
	}, nil
}
