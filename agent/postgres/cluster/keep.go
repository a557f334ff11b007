package cluster

import (
	"context"
	"fmt"
	"time"
)

// Times between starts of a server that does not stay up.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
)

// Keep starts the server again whenever it ends, at the same URL, until ctx
// ends; then it stops it and returns. The data directory stays taken all the
// while. lost is told how each server ended, and why one could not be started.
func Keep(ctx context.Context, c *Cluster, lost func(error)) {
	pause := firstPause
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			c.Stop(context.WithoutCancel(ctx))
			return
		case <-c.Done():
			lost(c.Err())
		}
		if time.Since(began) > longPause {
			pause = firstPause
		}
		for up := false; !up; {
			select {
			case <-ctx.Done():
				c.place.leave()
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, longPause)
			next := &Cluster{options: c.options, place: c.place, bin: c.bin}
			if err := next.run(ctx); err != nil {
				lost(fmt.Errorf("start PostgreSQL: %w", err))
				continue
			}
			c, up = next, true
		}
	}
}
