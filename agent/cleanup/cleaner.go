package cleanup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Records say what was made, and note what was removed.
type Records interface {
	// Estate reads what there is at one moment.
	Estate(ctx context.Context) (Estate, error)
	// Alone does work while no run is at work, and none can be claimed by any
	// agent. The error is a [BusyError] if a run is at work, or somebody else is
	// alone. Held fails once others may be at work after all.
	Alone(ctx context.Context, work func(ctx context.Context, held func(context.Context) error) error) error
	// Condemn makes images count no more, by their ids, so that no run reuses them.
	Condemn(ctx context.Context, images []int64) error
	// Removed notes that the registry no longer has them, nor tags on them.
	Removed(ctx context.Context, images []int64) error
	// Untagged notes that a tag is gone.
	Untagged(ctx context.Context, tag Tag) error
}

// BusyError says why nothing can be removed now.
type BusyError struct{ With string }

func (e *BusyError) Error() string { return "nothing can be removed now: " + e.With }

// Registry is the part of a registry that is needed.
type Registry interface {
	Tags(ctx context.Context, repository string) ([]string, error)
	Digest(ctx context.Context, repository, tagOrDigest string) (d digest.Digest, ok bool, err error)
	// Holds lists the manifests in an index; there are none in an image.
	Holds(ctx context.Context, repository string, d digest.Digest) ([]digest.Digest, error)
	// DeleteTag removes one tag and leaves the manifest alone.
	DeleteTag(ctx context.Context, repository, tag string) error
	// DeleteManifest removes a manifest with all tags on it.
	DeleteManifest(ctx context.Context, repository string, d digest.Digest) error
}

// Cleaner removes what nothing refers to any more.
type Cleaner struct {
	Records  Records
	Registry Registry
	Policy   Policy
	// Sweep frees the blobs that no manifest needs any more, and returns how
	// many bytes that were. Nil is for a registry that does so itself.
	Sweep func(context.Context) (int64, error)
	// OnlyByDigest tells the error of a registry that cannot remove single tags.
	OnlyByDigest error
	// Patience is how long to wait for the runs at work to end.
	Patience time.Duration
	Log      *slog.Logger
}

const (
	// longest that runs are kept from being claimed in one go, but for one
	// deletion and the sweep.
	longest = time.Minute
	// pause between two attempts to be alone, and for others to claim runs.
	pause = 5 * time.Second
)

// Deletion is what was done, or would be.
type Deletion struct {
	// Kind is tag, image or blobs.
	Kind string `json:"kind"`
	// What is REPOSITORY:TAG or REPOSITORY@DIGEST.
	What string `json:"what,omitempty"`
	// Size in bytes: of an image the blobs of its own, which others may share.
	Size int64  `json:"size,omitempty"`
	Why  string `json:"why"`
	// Left says why it was not done after all.
	Left string `json:"left,omitempty"`
}

// Plan says what would be removed now.
func (c *Cleaner) Plan(ctx context.Context) ([]Deletion, error) {
	d, err := c.decide(ctx, newAsker(c.Registry))
	if err != nil {
		return nil, err
	}
	var list []Deletion
	for _, t := range d.Tags {
		list = append(list, t.deletion())
	}
	for _, i := range d.Images {
		list = append(list, i.deletion())
	}
	return list, nil
}

func (t TagDeletion) deletion() Deletion {
	return Deletion{Kind: "tag", What: t.Repository + ":" + t.Name, Why: t.Why}
}

func (i ImageDeletion) deletion() Deletion {
	return Deletion{Kind: "image", What: i.Images[0].Repository + "@" + i.Digest.String(), Size: i.Images[0].Size, Why: i.Why}
}

// decide asks the registry for no more tags than the records leave in doubt.
func (c *Cleaner) decide(ctx context.Context, ask *asker) (Decision, error) {
	estate, err := c.Records.Estate(ctx)
	if err != nil {
		return Decision{}, err
	}
	d := Decide(estate, nil, c.Policy)
	if len(d.Images) == 0 {
		return d, nil
	}
	ours, known := map[string]bool{}, map[digest.Digest]bool{}
	for _, i := range estate.Images {
		ours[pipeline.KeyTag(i.Key)] = true
		known[i.Digest] = true
	}
	listing := Listing{}
	for _, i := range d.Images {
		for _, repository := range i.Repositories {
			if listing[repository] == nil {
				if listing[repository], err = ask.list(ctx, repository, ours, known); err != nil {
					return Decision{}, err
				}
			}
		}
	}
	return Decide(estate, listing, c.Policy), nil
}

// Clean removes what [Cleaner.Plan] names, while no run is at work: so no run
// reuses what goes, and none pushes what a sweep would take for garbage. It gives
// the queue a chance once a minute, and more often where the registry takes long to
// say what its tags point at. What was done before an error is returned with it.
func (c *Cleaner) Clean(ctx context.Context) (done []Deletion, err error) {
	until := time.Now().Add(c.Patience)
	ask := newAsker(c.Registry)
	for more := true; more; {
		err := c.Records.Alone(ctx, func(ctx context.Context, held func(context.Context) error) error {
			some, left, err := c.round(ctx, ask, held)
			done, more = append(done, some...), left
			return err
		})
		var busy *BusyError
		switch {
		case errors.As(err, &busy) && time.Now().Before(until):
			c.Log.Debug("clean-up waits", "for", busy.With)
		case errors.Is(err, errSlow) && time.Now().Before(until):
			c.Log.Debug("clean-up lets runs begin before it asks on", "error", err)
		case err != nil:
			return done, err
		}
		if more {
			if err := wait(ctx, pause); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// round is what is done in one go; more says that some is left.
func (c *Cleaner) round(ctx context.Context, ask *asker, held func(context.Context) error) (done []Deletion, more bool, err error) {
	until := time.Now().Add(longest)
	limited, cancel := context.WithTimeoutCause(ctx, asking, errSlow)
	defer cancel()
	d, err := c.decide(limited, ask)
	if errors.Is(context.Cause(limited), errSlow) {
		err = fmt.Errorf("%w: not all within %v", errSlow, asking)
	}
	if err != nil {
		return nil, true, err
	}
	for _, t := range d.Tags {
		if time.Now().After(until) {
			return done, true, nil
		}
		deletion, err := c.untag(ctx, t, held)
		if err != nil {
			return done, true, err
		}
		if deletion.Left == "" {
			c.Log.Info("removed a tag", "tag", deletion.What, "why", deletion.Why)
		}
		done = append(done, deletion)
	}
	for _, i := range d.Images {
		if time.Now().After(until) {
			return done, true, nil
		}
		if err := c.remove(ctx, i, held); err != nil {
			return done, true, err
		}
		deletion := i.deletion()
		c.Log.Info("removed an image", "image", deletion.What, "why", deletion.Why)
		done = append(done, deletion)
	}
	if c.Sweep == nil {
		return done, false, nil
	}
	if err := held(ctx); err != nil {
		return done, true, err
	}
	freed, err := c.Sweep(ctx)
	if err != nil {
		return done, true, err
	}
	c.Log.Info("freed blobs", "bytes", freed)
	return append(done, Deletion{Kind: "blobs", Size: freed, Why: "no manifest needs them"}), false, nil
}

// untag removes a tag by its name. One that points elsewhere than recorded is
// somebody else's now.
func (c *Cleaner) untag(ctx context.Context, t TagDeletion, held func(context.Context) error) (Deletion, error) {
	deletion := t.deletion()
	d, there, err := c.Registry.Digest(ctx, t.Repository, t.Name)
	if err != nil {
		return deletion, err
	}
	switch {
	case there && d != t.Digest:
		deletion.Left = "somebody moved it"
	case there:
		if err := held(ctx); err != nil {
			return deletion, err
		}
		err := c.Registry.DeleteTag(ctx, t.Repository, t.Name)
		if c.OnlyByDigest != nil && errors.Is(err, c.OnlyByDigest) {
			deletion.Left = "the registry removes no single tag; it goes with the image"
			return deletion, nil
		}
		if err != nil {
			return deletion, err
		}
	}
	return deletion, c.Records.Untagged(ctx, t.Tag)
}

// remove makes an image count no more before the registry loses it. Killed in
// between, the next round goes on with it.
func (c *Cleaner) remove(ctx context.Context, i ImageDeletion, held func(context.Context) error) error {
	var ids []int64
	var indexes []digest.Digest
	for _, image := range i.Images {
		ids = append(ids, image.ID)
		if image.Index != "" {
			indexes = append(indexes, image.Index)
		}
	}
	if err := c.Records.Condemn(ctx, ids); err != nil {
		return err
	}
	for _, repository := range i.Repositories {
		for _, d := range append(indexes, i.Digest) {
			if err := held(ctx); err != nil {
				return err
			}
			if err := c.Registry.DeleteManifest(ctx, repository, d); err != nil {
				return fmt.Errorf("remove an image, where the registry must allow to delete: %w", err)
			}
		}
	}
	return c.Records.Removed(ctx, ids)
}
