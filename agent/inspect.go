package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Inspect asks the registry for the images of every commit where a ref is, and
// queues a run for each commit that has lost some: the registry is new, or
// somebody deleted them.
func (a *Agent) Inspect(ctx context.Context, source Source) error {
	id, err := a.Store.Repository(ctx, source.URL())
	if err != nil {
		return err
	}
	refs, err := a.Store.Refs(ctx, id)
	if err != nil {
		return err
	}
	has := map[layers.Commit]bool{}
	var errs []error
	for ref, commit := range refs {
		whole, known := has[commit]
		if !known {
			if whole, err = a.whole(ctx, source, id, commit); err != nil {
				return err
			}
			has[commit] = whole
		}
		if whole {
			continue
		}
		run, err := a.Store.Again(ctx, Move{Repository: id, URL: source.URL(), Ref: ref, New: commit})
		if err == nil && run != nil {
			a.Log.Warn("the registry has lost images", "run", run.ID, "repository", source.URL(), "ref", ref, "commit", commit.Short())
			signal(a.work)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// whole reports whether the registry has all images of a commit's snapshot. A
// commit without one has nothing to lose.
func (a *Agent) whole(ctx context.Context, source Source, id RepositoryID, commit layers.Commit) (bool, error) {
	snapshot, err := a.Store.Snapshot(ctx, id, commit)
	if err != nil || snapshot == nil {
		return true, err
	}
	images := make([]pipeline.Image, 0, len(snapshot.Images))
	for _, image := range snapshot.Images {
		images = append(images, image)
	}
	whole, err := a.Carrier.Images(source).Has(ctx, images)
	if err != nil {
		return false, fmt.Errorf("inspect the images of %s: %w", commit.Short(), err)
	}
	return whole, nil
}
