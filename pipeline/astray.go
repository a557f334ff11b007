package pipeline

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Stray is a tag that does not point at its image.
type Stray struct {
	Tagged
	// Lost is true where the registry does not have the tag at all.
	Lost bool
}

// Astray finds which tags of layers' images are lost or point elsewhere, by one
// HEAD each. Only Layer, Name and Image of what it is given count.
func (p *Pipeline) Astray(ctx context.Context, tags []Tagged) ([]Stray, error) {
	found := make([]*Stray, len(tags))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for i, t := range tags {
		group.Go(func() error {
			d, ok, err := p.Registry.Digest(ctx, p.repository(t.Layer), t.Name)
			if err == nil && (!ok || d != t.Image.Digest) {
				found[i] = &Stray{Tagged: t, Lost: !ok}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var astray []Stray
	for _, s := range found {
		if s != nil {
			astray = append(astray, *s)
		}
	}
	return astray, nil
}
