package agent

import (
	"context"
	"errors"
	"fmt"
)

// Refresh queues a run for the trunk of every watched repository, as if it had
// just moved there: the plan resolves the images from outside anew, and what
// stands on one that points elsewhere is built. A trunk that has a run in the
// queue or at work needs none.
func (a *Agent) Refresh(ctx context.Context) error {
	return a.each(func(source Source) error {
		id, err := a.Store.Repository(ctx, source.URL())
		if err != nil {
			return err
		}
		trunk, err := FindTrunk(ctx, a.Store, id)
		if err != nil || trunk.Ref == "" {
			return err
		}
		_, err = a.again(ctx, source, id, trunk, "queued to refresh its base images")
		return err
	})
}

// again queues a run for a repository's trunk, and logs what for; nil if it has one
// that has not ended.
func (a *Agent) again(ctx context.Context, source Source, id RepositoryID, trunk Trunk, why string) (*Run, error) {
	run, err := a.Store.Again(ctx, Move{Repository: id, URL: source.URL(), Ref: trunk.Ref, New: trunk.Commit})
	if err != nil || run == nil {
		return nil, err
	}
	a.Log.Info(why, "run", run.ID, "repository", source.URL(), "ref", trunk.Ref, "commit", trunk.Commit.Short())
	signal(a.work)
	return run, nil
}

// InspectAll inspects every watched repository.
func (a *Agent) InspectAll(ctx context.Context) error {
	return a.each(func(source Source) error { return a.Inspect(ctx, source) })
}

// each does something for every watched repository, also after one that failed.
func (a *Agent) each(do func(Source) error) error {
	var errs []error
	for _, source := range a.Sources {
		if err := do(source); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source.URL(), err))
		}
	}
	return errors.Join(errs...)
}
