package pipeline

import (
	"context"
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

// Tag points tags at images, in each layer's own repository. An immutable tag
// that already points elsewhere is an error and stays.
func (p *Pipeline) Tag(ctx context.Context, result Result, set layers.TagSet) ([]Tagged, error) {
	var tags []Tagged
	for _, out := range result.Outcomes {
		if out.Image == nil {
			continue
		}
		for _, name := range set.Names {
			tags = append(tags, Tagged{Layer: out.Layer, Repository: p.repository(out.Layer), Name: name, Image: *out.Image})
		}
	}
	tag := p.Registry.Tag
	if set.Immutable {
		tag = p.Registry.TagOnce
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, t := range tags {
		group.Go(func() error {
			if err := tag(ctx, t.Image.Repository, t.Image.Digest, t.Repository, t.Name); err != nil {
				return fmt.Errorf("tag %s:%s: %w", t.Repository, t.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return tags, nil
}
