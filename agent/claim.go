package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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
	run   RunID
	owner string

	mu    sync.Mutex
	until time.Time // the lease, by our own clock, from before it was asked for
}

// newClaim is a claim that was asked for at a time of our own clock.
func newClaim(store Store, run RunID, owner string, asked time.Time) *claim {
	return &claim{store: store, run: run, owner: owner, until: asked.Add(Lease)}
}

// keep prolongs the claim until the context ends, and cuts the run off if it is
// lost or to end. A claim that cannot be prolonged for now is not lost yet.
func (c *claim) keep(ctx context.Context, news *news, cut context.CancelCauseFunc) {
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
		if err := c.extend(ctx); final(err) {
			cut(err)
		}
	}
}

func (c *claim) extend(ctx context.Context) error {
	began := time.Now()
	err := c.store.Extend(ctx, c.run, c.owner, Lease)
	if err == nil {
		c.mu.Lock()
		c.until = began.Add(Lease)
		c.mu.Unlock()
	}
	return err
}

// final tells a claim that is over from a store that cannot be asked.
func final(err error) bool {
	var end CutOff
	return errors.Is(err, ErrLost) || errors.As(err, &end)
}

// hold makes sure, before something is done that cannot be undone, that the run
// is still ours and stays so for long enough: this process may have stood still.
func (c *claim) hold(ctx context.Context) error {
	c.mu.Lock()
	left := time.Until(c.until)
	c.mu.Unlock()
	if left > Lease/2 {
		return nil
	}
	return c.extend(ctx)
}
