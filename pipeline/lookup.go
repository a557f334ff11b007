package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/lab-layers/lab-layers/layers"
)

// Images finds the images that a plan's keys already have, and sets the plan's
// steps by it. An image counts only if the registry confirms that it has it. At
// the same time it is asked for the tags that the layers are to have in the end:
// those that stand already are returned for [Pipeline.Tag].
func (p *Pipeline) Images(ctx context.Context, plan *layers.Plan, set layers.TagSet) (have map[layers.Key]Image, standing []Tagged, err error) {
	var keys []layers.Key
	for _, layer := range plan.Layers {
		if layer.Key != "" {
			keys = append(keys, layer.Key)
		}
	}
	known, err := p.lookup(ctx, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("look up images: %w", err)
	}
	found, tagged := make([]*Image, len(plan.Layers)), make([][]Tagged, len(plan.Layers))
	looked := make(map[layers.Name]chan struct{}, len(plan.Layers))
	at := make(map[layers.Name]int, len(plan.Layers))
	for i, layer := range plan.Layers {
		looked[layer.Name], at[layer.Name] = make(chan struct{}), i
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for i, layer := range plan.Layers {
		if layer.Key == "" {
			close(looked[layer.Name])
			continue
		}
		image, recorded := known[layer.Key]
		group.Go(func() (err error) {
			defer close(looked[layer.Name])
			if recorded {
				if found[i], err = p.confirm(gctx, image); err != nil {
					return err
				}
			}
			var parent *Image
			if layer.Parent != nil { // it stands before its children
				<-looked[*layer.Parent]
				parent = found[at[*layer.Parent]]
			}
			switch {
			case found[i] != nil && found[i].on(parent):
				return nil
			case found[i] != nil:
				restand(layer, image, parent)
				found[i] = nil
				return nil
			case recorded:
				layer.Notes = append(layer.Notes, fmt.Sprintf("the registry has lost its image %s", image.Digest))
			}
			found[i], err = p.adopt(gctx, layer, parent)
			return err
		})
		if recorded {
			group.Go(func() (err error) {
				tagged[i], err = p.standing(gctx, layer.Name, image, set)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, nil, fmt.Errorf("look up images: %w", err)
	}
	have = make(map[layers.Key]Image, len(keys))
	for i, image := range found {
		if image != nil {
			have[image.Key] = *image
			standing = append(standing, tagged[i]...)
		}
	}
	plan.Decide(func(key layers.Key) bool { _, ok := have[key]; return ok })
	return have, standing, nil
}

// standing finds the tags of a set that point at a layer's image.
func (p *Pipeline) standing(ctx context.Context, layer layers.Name, image Image, set layers.TagSet) (tags []Tagged, err error) {
	repository := p.repository(layer)
	for _, name := range set.Names {
		d, ok, err := p.Registry.Digest(ctx, repository, name)
		if err != nil {
			return nil, err
		}
		if ok && d == image.Digest {
			tags = append(tags, Tagged{Layer: layer, Repository: repository, Name: name, Image: image})
		}
	}
	return tags, nil
}

// The ledger has repositories relative to the prefix, so that its records stay
// true when the registry moves, as an embedded one does whose port is taken.

func (p *Pipeline) lookup(ctx context.Context, keys []layers.Key) (map[layers.Key]Image, error) {
	images, err := p.Ledger.Images(ctx, keys)
	for key, image := range images {
		image.Repository = p.Prefix + "/" + image.Repository
		images[key] = image
	}
	return images, err
}

func (p *Pipeline) publish(ctx context.Context, image Image) (Image, error) {
	image.Repository = strings.TrimPrefix(image.Repository, p.Prefix+"/")
	winner, err := p.Ledger.Publish(ctx, image)
	winner.Repository = p.Prefix + "/" + winner.Repository
	return winner, err
}

// confirm asks the registry for a recorded image, and forgets it if it is gone.
func (p *Pipeline) confirm(ctx context.Context, image Image) (*Image, error) {
	_, ok, err := p.Registry.Digest(ctx, image.Repository, image.Digest.String())
	if err != nil {
		return nil, err
	}
	if ok {
		return &image, nil
	}
	return nil, p.Ledger.Forget(ctx, image.Key, image.Digest)
}

// adopt records an image that only the registry knows: the database is new, or
// another installation made it.
func (p *Pipeline) adopt(ctx context.Context, layer *layers.PlannedLayer, parent *Image) (*Image, error) {
	if !p.Adopt {
		return nil, nil
	}
	repository := p.repository(layer.Name)
	d, ok, err := p.Registry.Digest(ctx, repository, KeyTag(layer.Key))
	if err == nil && ok { // a tag may outlive its manifest
		_, ok, err = p.Registry.Digest(ctx, repository, d.String())
	}
	if err != nil || !ok {
		return nil, err
	}
	image, err := p.describe(ctx, repository, layer.Key, d, "", parent)
	if err != nil {
		return nil, err
	}
	// A tag can be moved by anyone who may push; the label goes with the
	// content, so a mix-up is seen.
	if label(image.Config, keyLabel) != string(layer.Key) || !image.on(parent) {
		return nil, nil
	}
	winner, err := p.publish(ctx, image)
	return &winner, err
}

// describe reads from the registry what is to be recorded of an image.
func (p *Pipeline) describe(ctx context.Context, repository string, key layers.Key, d, index digest.Digest, parent *Image) (Image, error) {
	config, blobs, err := p.Registry.Inspect(ctx, repository, d)
	if err != nil {
		return Image{}, err
	}
	image := Image{Key: key, Repository: repository, Digest: d, Index: index, Config: config, Blobs: blobs}
	image.Parent = digest.Digest(label(config, baseDigestLabel))
	image.ParentRef = label(config, baseNameLabel)
	if !image.on(parent) {
		parent = nil // it stands on an older image of the same key
	}
	below := map[digest.Digest]bool{}
	if parent != nil {
		image.Parent, image.ParentRef = parent.Digest, strings.TrimPrefix(parent.Repository, p.Prefix+"/")
		for _, blob := range parent.Blobs {
			below[blob.Digest] = true
		}
	}
	for i := range image.Blobs {
		image.Blobs[i].Own = !below[image.Blobs[i].Digest]
	}
	image.Metadata, err = p.Surveyor.Survey(ctx, image, parent)
	if err != nil {
		return Image{}, fmt.Errorf("survey %s: %w", image.Ref(), err)
	}
	return image, nil
}
