package daemon

import (
	"context"
	"time"
)

// Times between starts of a daemon that does not stay up.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
)

// Keep starts the daemon again whenever it ends, at the same address, until
// ctx ends; then it stops it and returns. lost is told how each one ended, and
// why one could not be started.
func Keep(ctx context.Context, d *Daemon, lost func(error)) {
	pause := firstPause
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			d.Stop(context.WithoutCancel(ctx))
			return
		case <-d.Done():
			lost(d.Err())
		}
		if time.Since(began) > longPause {
			pause = firstPause
		}
		for next := (*Daemon)(nil); next == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, longPause)
			var err error
			if next, err = Start(ctx, d.options); err != nil {
				lost(err)
				continue
			}
			d = next
		}
	}
}
