package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// dated is a store whose main had its newest run at some time.
type dated struct {
	standing
	began atomic.Pointer[time.Time]
}

func (s *dated) Began(context.Context, RepositoryID, layers.Ref) (time.Time, error) {
	return *s.began.Load(), nil
}

// TestRebuild queues main once for each time that was due, also one that passed
// before the start or while main had a run at work.
func TestRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(dated)
		run := func(at time.Time) { s.began.Store(&at) }
		var due atomic.Pointer[time.Time]
		start := time.Now()
		due.Store(&start)
		run(start.Add(-time.Hour))
		a := &Agent{Store: s, Sources: []Source{&gate{}}, Log: slog.New(slog.DiscardHandler), Due: func() time.Time { return *due.Load() }}
		ctx, stop := context.WithCancel(t.Context())
		go a.rebuild(ctx)
		queued := func(why string, want int) {
			t.Helper()
			pass(rebuildPause + 1)
			if _, queued := s.is(); len(queued) != want {
				t.Errorf("%s: %d runs, not %d", why, len(queued), want)
			}
		}
		queued("a time before the start", 1)
		queued("nothing more", 1)
		at := func(again time.Time) { due.Store(&again) }

		s.work(true)
		at(time.Now())
		queued("main has a run at work", 1)
		s.work(false)
		queued("it has ended", 2)

		at(time.Now())
		run(time.Now().Add(time.Second))
		queued("somebody pushed since", 2)
		stop()
		synctest.Wait()
	})
}
