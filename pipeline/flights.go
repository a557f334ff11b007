package pipeline

import (
	"context"
	"sync"

	"github.com/lab-layers/lab-layers/layers"
)

// Flights keeps two builds of one key from running side by side in this
// process; [Pipeline.Turn] does so across processes.
type Flights struct {
	mu   sync.Mutex
	busy map[layers.Key]chan struct{}
}

// enter waits until no other build of the key is under way.
func (f *Flights) enter(ctx context.Context, key layers.Key) (release func(), err error) {
	for {
		f.mu.Lock()
		other, taken := f.busy[key]
		if !taken {
			if f.busy == nil {
				f.busy = map[layers.Key]chan struct{}{}
			}
			mine := make(chan struct{})
			f.busy[key] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.busy, key)
				f.mu.Unlock()
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// serial makes a progress function safe to call from several builds.
func serial(progress func(Event)) func(Event) {
	if progress == nil {
		return func(Event) {}
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		progress(e)
	}
}
