package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// tick is how often something is looked at that sends no word.
const tick = 5 * time.Millisecond

// Lock takes the lock of a file or directory, or fails with the error taken
// after the limit. It is held until every copy of f is closed, those that
// children inherit included: right after a kill that takes a moment.
func Lock(ctx context.Context, f *os.File, limit time.Duration, taken error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, taken)
	defer cancel()
	return Every(ctx, func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
}

// Every repeats try until it succeeds; the error is the context's cause.
func Every(ctx context.Context, try func() error) error {
	for try() != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(tick):
		}
	}
	return nil
}

// tryLimit bounds one try: a request that a server took before it was ready may never
// be answered.
const tryLimit = 10 * time.Second

// Await repeats try until it succeeds, the context ends or the process does; the
// error then has what the last try said.
func (p *Process) Await(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.life, func() { cancel(errors.New("it ended at once")) })
	defer stop()
	var last error
	err := Every(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, tryLimit)
		defer cancel()
		last = try(ctx)
		return last
	})
	if err != nil && p.life.Err() == nil {
		return fmt.Errorf("%w (%w)", err, last)
	}
	return err
}
