package cluster

import (
	"context"
	"os"
	"syscall"
	"time"
)

// tick is how often something is looked at that sends no word.
const tick = 5 * time.Millisecond

// flock takes the lock of a file or directory, or fails with [ErrInUse] after
// the limit. It is held until every copy of f is closed, those that other
// processes inherit included.
func flock(ctx context.Context, f *os.File, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrInUse)
	defer cancel()
	return every(ctx, func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
}

// every repeats try until it succeeds; the error is the context's cause.
func every(ctx context.Context, try func() error) error {
	for try() != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(tick):
		}
	}
	return nil
}
