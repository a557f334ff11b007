package pipeline

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/lab-layers/lab-layers/layers"
)

// Tagged is a tag that points at an image.
type Tagged struct {
	Layer      layers.Name
	Repository string
	Name       string
	Image      Image
}

// ErrTagTaken says that a tag that is never moved points at another digest.
var ErrTagTaken = errors.New("the tag points at another digest and is not moved")

// Tag points tags at images, in each layer's own repository. An immutable tag
// that already points elsewhere stays: it is left out of what is returned, and
// the error wraps [ErrTagTaken]. After any other error nothing is returned.
// What was tagged ahead is not tagged again.
func (p *Pipeline) Tag(ctx context.Context, result Result, set layers.TagSet, ahead ...Tagged) ([]Tagged, error) {
	return p.tag(ctx, result, set, ahead, tagLimit)
}

// tagLimit is how many tags are put side by side, where nothing else is done.
const tagLimit = 8

func (p *Pipeline) tag(ctx context.Context, result Result, set layers.TagSet, ahead []Tagged, limit int) ([]Tagged, error) {
	type point struct{ repository, name, digest string }
	done := map[point]bool{}
	for _, t := range ahead {
		done[point{t.Repository, t.Name, t.Image.Digest.String()}] = true
	}
	var tags []Tagged
	for _, out := range result.Outcomes {
		if out.Image == nil {
			continue
		}
		for _, name := range set.Names {
			tags = append(tags, Tagged{Layer: out.Layer, Repository: p.repository(out.Layer), Name: name, Image: *out.Image})
		}
	}
	put := p.Registry.Tag
	if set.Immutable {
		put = p.Registry.TagOnce
	}
	taken := make([]error, len(tags))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i, t := range tags {
		if done[point{t.Repository, t.Name, t.Image.Digest.String()}] {
			continue
		}
		group.Go(func() error {
			err := put(ctx, t.Image.Repository, t.Image.Digest, t.Repository, t.Name)
			if errors.Is(err, ErrTagTaken) {
				taken[i] = fmt.Errorf("%s:%s: %w", t.Layer, t.Name, ErrTagTaken)
				return nil
			}
			if err != nil {
				return fmt.Errorf("tag %s:%s: %w", t.Repository, t.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var pointed []Tagged
	for i, t := range tags {
		if taken[i] == nil {
			pointed = append(pointed, t)
		}
	}
	return pointed, errors.Join(taken...)
}
