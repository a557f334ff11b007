// Package schedule does things at set times.
//
// Input are cron expressions and what to do; there is no output but that it is
// done. It keeps no state: a time that passed while the process was down is not
// made up for.
package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Times is a cron expression: when a thing is to be done. Its zero value is
// never.
type Times struct{ times cron.Schedule }

// Parse reads five fields (minute, hour, day of month, month, day of week), or a
// word such as @daily or "@every 6h". They are in the machine's time zone, or in
// the one that CRON_TZ=ZONE before them names.
func Parse(expression string) (Times, error) {
	// The library takes a zone with nothing after it for a fault of its own.
	if strings.HasPrefix(expression, "CRON_TZ=") || strings.HasPrefix(expression, "TZ=") {
		if zone, rest, _ := strings.Cut(expression, " "); strings.TrimSpace(rest) == "" {
			return Times{}, fmt.Errorf("%q: after %s there are to be five fields, such as 0 3 * * *", expression, zone)
		}
	}
	times, err := cron.ParseStandard(expression)
	if err != nil {
		return Times{}, fmt.Errorf("%q is not five fields such as 0 3 * * *, with CRON_TZ=ZONE before them if need be: %w", expression, err)
	}
	return Times{times}, nil
}

// Fixed reports whether the times are those of the calendar. Those of @every are
// reckoned from when somebody began to.
func (t Times) Fixed() bool {
	_, every := t.times.(cron.ConstantDelaySchedule)
	return !every
}

// backwards is how far Last looks; further on the library finds no next time.
const backwards = 5 * 365 * 24 * time.Hour

// Last is the latest time that is not after now: whoever asks gets the same answer
// until the next one. It is zero if there was none in five years, and if the times
// are not fixed.
func (t Times) Last(now time.Time) time.Time {
	if t.times == nil || !t.Fixed() {
		return time.Time{}
	}
	now = now.Local().Truncate(time.Second)
	var last time.Time
	sort.Search(int(backwards/time.Second), func(ago int) bool {
		next := t.times.Next(now.Add(-time.Duration(ago) * time.Second))
		if next.IsZero() || next.After(now) {
			return false
		}
		last = next
		return true
	})
	return last
}

// Entry is one thing to do again and again.
type Entry struct {
	Name string
	When Times
	Do   func(context.Context) error
}

// Run does what is due until the context ends, and returns when what is under
// way has ended. An entry that is due while its last round goes on is skipped.
func Run(ctx context.Context, log *slog.Logger, entries ...Entry) {
	timetable := cron.New()
	for _, e := range entries {
		if e.When.times == nil {
			continue
		}
		var busy sync.Mutex
		timetable.Schedule(e.When.times, cron.FuncJob(func() { round(ctx, log.With("schedule", e.Name), &busy, e.Do) }))
	}
	timetable.Start()
	<-ctx.Done()
	<-timetable.Stop().Done()
}

func round(ctx context.Context, log *slog.Logger, busy *sync.Mutex, do func(context.Context) error) {
	if !busy.TryLock() {
		log.Warn("skipped: the last round still goes on")
		return
	}
	defer busy.Unlock()
	log.Info("round started")
	err := do(ctx)
	switch {
	case err == nil:
		log.Info("round ended")
	case ctx.Err() != nil:
		log.Info("round was stopped")
	default:
		log.Error("round failed; the next one tries again", "error", err)
	}
}
