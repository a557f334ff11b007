package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// CutOff says that a run is to end before its work is done, and how.
type CutOff struct {
	State  State
	Reason string
}

func (c CutOff) Error() string { return fmt.Sprintf("%s: %s", c.State, c.Reason) }

// claim is this agent's hold on a run.
type claim struct {
	store Store
	run   Run
}

// keep prolongs the claim until the context ends, and cuts the run off if it is
// lost or to end. A claim that cannot be prolonged for now is not lost yet.
func (c claim) keep(ctx context.Context, news *news, cut context.CancelCauseFunc) {
	ticker := time.NewTicker(Lease / 4)
	defer ticker.Stop()
	for {
		told := news.next()
		select {
		case <-ctx.Done():
			return
		case <-told:
		case <-ticker.C:
		}
		if err := c.hold(ctx); final(err) {
			cut(err)
		}
	}
}

// final tells a claim that is over from a store that cannot be asked.
func final(err error) bool {
	var end CutOff
	return errors.Is(err, ErrLost) || errors.As(err, &end)
}

// hold makes sure that the run is still ours, and prolongs the claim. It asks
// whatever our own clock says: this process, or the whole machine with its clocks,
// may have stood still.
func (c claim) hold(ctx context.Context) error { return c.store.Extend(ctx, c.run, Lease) }

// turnPause is between two questions whether another agent still builds a key.
const turnPause = 200 * time.Millisecond

// turn waits until no other run builds a key. One that does keeps us waiting for
// as long as its own claim lasts, not longer.
func (c claim) turn(ctx context.Context, key layers.Key) (end func(), err error) {
	for {
		ours, err := c.store.Take(ctx, c.run, key)
		if err != nil {
			return nil, err
		}
		if ours {
			return func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
				defer cancel()
				_ = c.store.Leave(ctx, c.run, key) // else it ends with the claim
			}, nil
		}
		wait(ctx, turnPause, nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}
