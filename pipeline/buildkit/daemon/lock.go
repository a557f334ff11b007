package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// tick is how often something is looked at that sends no word.
	tick = 5 * time.Millisecond
	// lockLimit is how long a killed agent's daemon is given to be gone.
	lockLimit = 3 * time.Second
)

// takeLock takes the lock of a root directory. The daemon and its containers
// inherit the file, so the lock is free only once the last of them has ended;
// right after a kill that takes a moment.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockLimit, ErrInUse)
	defer cancel()
	err = every(ctx, func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// awaitSocket returns when something listens on a unix socket, or with an
// error when the process that should has ended.
func awaitSocket(ctx context.Context, path string, ended <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-ended:
			cancel(errors.New("it ended at once"))
		case <-ctx.Done():
		}
	}()
	return every(ctx, func() error {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		}
		return err
	})
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
