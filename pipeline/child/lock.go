package child

import (
	"context"
	"errors"
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

// Await repeats try until it succeeds, the context ends or the process does.
func (p *Process) Await(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.life, func() { cancel(errors.New("it ended at once")) })
	defer stop()
	return Every(ctx, func() error { return try(ctx) })
}
