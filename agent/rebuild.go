package agent

import (
	"context"
	"time"
)

// rebuildPause is how late a time at which all is to be built anew is noticed.
const rebuildPause = time.Minute

// rebuild queues a run for the trunk of every watched repository whose newest run
// began before all was due to be built anew last, until the context ends. A time
// that passed while no agent was up is thus made up for, and so is one that passed
// while the trunk had a run at work.
func (a *Agent) rebuild(ctx context.Context) {
	if a.Due == nil {
		return
	}
	done := map[Source]time.Time{}
	for ctx.Err() == nil {
		due := a.Due()
		for _, source := range a.Sources {
			if !done[source].Before(due) {
				continue
			}
			ok, err := a.rebuildIn(ctx, source, due)
			switch {
			case err == nil && ok:
				done[source] = due
			case err != nil && ctx.Err() == nil:
				a.Log.Warn("cannot queue what is to be built anew", "repository", source.URL(), "error", err)
			}
		}
		wait(ctx, rebuildPause, nil)
	}
}

// rebuildIn reports false if the trunk has a run that began before and has not
// ended.
func (a *Agent) rebuildIn(ctx context.Context, source Source, due time.Time) (done bool, err error) {
	id, err := a.Store.Repository(ctx, source.URL())
	if err != nil {
		return false, err
	}
	trunk, err := FindTrunk(ctx, a.Store, id)
	if err != nil || trunk.Ref == "" {
		return err == nil, err
	}
	began, err := a.Store.Began(ctx, id, trunk.Ref)
	if err != nil || !began.Before(due) {
		return err == nil, err
	}
	run, err := a.again(ctx, source, id, trunk, "queued to be built anew as scheduled")
	return run != nil, err
}
