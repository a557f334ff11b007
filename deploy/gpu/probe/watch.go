package probe

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// heartbeat is after how long what has not changed is told again, so that what a
// probe that is gone once told can be seen to be old. Each time costs the API
// server a write that every watcher of nodes is told of.
const heartbeat = 5 * time.Minute

// Told is what is written on the node.
type Told struct {
	// Report without what changes all the time.
	Report gpu.Report
	// IdleSince is since when no GPU is in use; zero while one is, or where that
	// is not known.
	IdleSince time.Time
	// Busy is how much the GPUs are in use; empty if none is, or that is not known.
	// That it has changed is no reason to write.
	Busy string
	Seen time.Time
}

// Board is where a node's facts are written.
type Board interface {
	// Idle returns since when the node was idle by what is written, and when that
	// was last seen; zero if nothing is.
	Idle(ctx context.Context) (since, seen time.Time, err error)
	// Tell writes them, in place of those before.
	Tell(ctx context.Context, t Told) error
}

// Watch looks at the GPUs of this node again and again. Its fields are set once,
// before Run.
type Watch struct {
	Read     func(time.Time) gpu.Report
	Board    Board // nil for none
	Metrics  *Metrics
	Log      *slog.Logger
	Interval time.Duration

	recalled  bool
	idleSince time.Time
	told      Told
	problem   string
}

// Run looks until the context ends.
func (w *Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(w.Interval)
	defer ticker.Stop()
	for {
		w.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *Watch) round(ctx context.Context) {
	now := time.Now()
	report := w.Read(now)
	if w.Board != nil && !w.recalled {
		since, seen, err := w.Board.Idle(ctx)
		if err != nil {
			w.fault(ctx, err)
		} else if w.recalled = true; now.Sub(seen) < 2*heartbeat {
			w.idleSince = since
		}
	}
	w.idle(report, now)
	w.Metrics.set(report, w.idleSince)
	t := Told{report.Facts(), w.idleSince, report.Busy(), now}
	same := (t.Busy == "") == (w.told.Busy == "") && reflect.DeepEqual(t.Report, w.told.Report) && t.IdleSince.Equal(w.told.IdleSince)
	if same && now.Sub(w.told.Seen) < heartbeat {
		return
	}
	if !reflect.DeepEqual(t.Report, w.told.Report) {
		w.Log.Info("the driver was asked", "driver", report.Driver.String(), "cuda", report.CUDA.String(), "gpus", len(report.GPUs), "lost", report.Lost, "fault", report.Fault)
	}
	if w.Board != nil {
		if err := w.Board.Tell(ctx, t); err != nil {
			w.fault(ctx, err)
			return // the next round tells it
		}
		w.problem = ""
	}
	w.told = t
}

// idle keeps since when the node is idle. Not to know is not to be idle.
func (w *Watch) idle(r gpu.Report, now time.Time) {
	idle, known := r.Idle()
	switch {
	case !idle || !known:
		w.idleSince = time.Time{}
	case w.idleSince.IsZero():
		w.idleSince = now
	}
}

// fault logs what went wrong, once as long as it is the same.
func (w *Watch) fault(ctx context.Context, err error) {
	if ctx.Err() != nil || err.Error() == w.problem {
		return
	}
	w.problem = err.Error()
	w.Log.Warn("cannot tell the cluster; it is tried again", "error", err)
}
