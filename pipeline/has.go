package pipeline

import (
	"context"
	"path"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// lookups is how many things the registry is asked for side by side.
const lookups = 16

// Has reports whether the registry still has all of some recorded images.
func (p *Pipeline) Has(ctx context.Context, recorded []Image) (bool, error) {
	var missing atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for _, image := range recorded {
		group.Go(func() error {
			_, ok, err := p.Registry.Digest(ctx, path.Join(p.Prefix, image.Repository), image.Digest.String())
			if err == nil && !ok {
				missing.Store(true)
			}
			return err
		})
	}
	err := group.Wait()
	return err == nil && !missing.Load(), err
}
