package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Inspect asks the registry for the images of every commit where a ref is, and
// for the ref's tags. It queues a run where some are lost or a tag was moved:
// the registry is new, or somebody was at it.
func (a *Agent) Inspect(ctx context.Context, source Source) error {
	id, err := a.Store.Repository(ctx, source.URL())
	if err != nil {
		return err
	}
	refs, err := a.Store.Refs(ctx, id)
	if err != nil {
		return err
	}
	tags, err := a.Store.Tags(ctx, id)
	if err != nil {
		return err
	}
	at := map[layers.Commit]inspected{}
	var errs []error
	for ref, commit := range refs {
		found, known := at[commit]
		if !known {
			if found, err = a.inspect(ctx, source, id, commit); err != nil {
				return err
			}
			at[commit] = found
		}
		move := Move{Repository: id, URL: source.URL(), Ref: ref, New: commit}
		if found.whole {
			sound, err := a.tagged(ctx, source, move, found.snapshot, tags[ref])
			if err != nil {
				return err
			}
			if sound {
				continue
			}
		}
		run, err := a.Store.Again(ctx, move)
		if err == nil && run != nil {
			a.Log.Warn("the registry has lost images or tags", "run", run.ID, "repository", source.URL(), "ref", ref, "commit", commit.Short())
			signal(a.work)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// inspectOnce inspects a repository when it was looked at, beside the looks that
// follow: where there are thousands of refs that takes a while.
func (a *Agent) inspectOnce(ctx context.Context, source Source, looked <-chan struct{}) {
	select {
	case <-looked:
	case <-ctx.Done():
	}
	for failures := 1; ctx.Err() == nil; failures++ {
		err := a.Inspect(ctx, source)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			a.Log.Warn("cannot inspect the repository's images", "repository", source.URL(), "error", err, "failures", failures)
		}
		wait(ctx, backoff(a.Interval, failures), nil)
	}
}

// inspected is a commit's snapshot, nil if there is none, and whether the
// registry has all of it. What was never there cannot be lost.
type inspected struct {
	snapshot *Snapshot
	whole    bool
}

func (a *Agent) inspect(ctx context.Context, source Source, id RepositoryID, commit layers.Commit) (inspected, error) {
	snapshot, err := a.Store.Snapshot(ctx, id, commit)
	if err != nil || snapshot == nil {
		return inspected{whole: true}, err
	}
	images := make([]pipeline.Image, 0, len(snapshot.Images))
	for _, image := range snapshot.Images {
		images = append(images, image)
	}
	whole, err := a.Carrier.Images(source).Has(ctx, images)
	if err != nil {
		return inspected{}, fmt.Errorf("inspect the images of %s: %w", commit.Short(), err)
	}
	return inspected{snapshot, whole}, nil
}

// tagged reports whether a ref's tags at its commit's images point at them in
// the registry too. One that a run would not mend is no matter: the ref no
// longer gives it, or it is never moved and points elsewhere.
func (a *Agent) tagged(ctx context.Context, source Source, move Move, snapshot *Snapshot, recorded []Tag) (bool, error) {
	var tags []pipeline.Tagged
	for _, tag := range recorded {
		if snapshot == nil {
			break
		}
		if image, ok := snapshot.Images[tag.Layer]; ok && image.Digest == tag.Digest {
			tags = append(tags, pipeline.Tagged{Layer: tag.Layer, Name: tag.Name, Image: image})
		}
	}
	astray, err := a.Carrier.Images(source).Astray(ctx, tags)
	if err != nil {
		return false, fmt.Errorf("inspect the tags of %s: %w", move.Ref, err)
	}
	if len(astray) == 0 {
		return true, nil
	}
	set, err := a.tagsOf(ctx, source, move)
	if err != nil {
		return false, fmt.Errorf("inspect the tags of %s: %w", move.Ref, err)
	}
	return !slices.ContainsFunc(astray, func(t pipeline.Stray) bool {
		return slices.Contains(set.Names, t.Name) && (t.Lost || !set.Immutable)
	}), nil
}

// tagsOf finds the tags that a ref gives its commit; none where that cannot be
// built.
func (a *Agent) tagsOf(ctx context.Context, source Source, move Move) (layers.TagSet, error) {
	trunk, err := FindTrunk(ctx, a.Store, move.Repository)
	if err != nil {
		return layers.TagSet{}, err
	}
	if err := source.Fetch(ctx, move.Ref, move.New); err != nil {
		return layers.TagSet{}, err
	}
	_, cfg, err := a.Carrier.config(ctx, source, move.New)
	if IsMistake(err) {
		return layers.TagSet{}, nil
	}
	if err != nil {
		return layers.TagSet{}, err
	}
	set, _, err := a.Carrier.Tags(ctx, source, move, trunk, cfg)
	return set, err
}
