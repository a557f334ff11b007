package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/lab-layers/lab-layers/layers"
)

// Surveyor says what an image holds, from its configuration and the blobs that
// its parent does not have.
type Surveyor interface {
	Survey(ctx context.Context, image Image, parent *Image) (Metadata, error)
}

// Pipeline makes the images of plans. Its fields are set once, before use; it
// is then safe for use by several goroutines.
type Pipeline struct {
	Builder  Builder
	Registry Registry
	Ledger   Ledger
	Surveyor Surveyor
	// Prefix of the repositories: HOST or HOST/PREFIX.
	Prefix string
	// Namespace keeps the layers of several Git repositories apart: images are
	// published as PREFIX/NAMESPACE/LAYER. Empty is none.
	Namespace string
	// Parallel builds at the most; 0 is 1.
	Parallel int
	// Limit is the longest that a build may take; 0 is no limit.
	Limit time.Duration
	// Flights is shared by all pipelines of a process.
	Flights *Flights
}

// Within is the same pipeline in another namespace.
func (p *Pipeline) Within(namespace string) *Pipeline {
	other := *p
	other.Namespace = namespace
	return &other
}

// keyLabel names an image's key in its configuration and its manifest.
const keyLabel = "dev.lab-layers.key"

// keyTag is the tag under which the registry itself knows an image by its key:
// so a lost database finds its way back, and a registry that deletes what has
// no tag keeps the image.
func keyTag(key layers.Key) string {
	return "key-" + strings.TrimPrefix(string(key), "sha256:")
}

func (p *Pipeline) repository(layer layers.Name) string {
	return path.Join(p.Prefix, p.Namespace, string(layer))
}

// Images finds the images that a plan's keys already have, and sets the plan's
// steps by it. An image counts only if the registry confirms that it has it.
func (p *Pipeline) Images(ctx context.Context, plan *layers.Plan) (map[layers.Key]Image, error) {
	var keys []layers.Key
	for _, layer := range plan.Layers {
		if layer.Key != "" {
			keys = append(keys, layer.Key)
		}
	}
	known, err := p.lookup(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up images: %w", err)
	}
	found := make([]*Image, len(plan.Layers))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, layer := range plan.Layers {
		if layer.Key == "" {
			continue
		}
		image, recorded := known[layer.Key]
		group.Go(func() (err error) {
			if recorded {
				if found[i], err = p.confirm(gctx, image); err != nil || found[i] != nil {
					return err
				}
				layer.Notes = append(layer.Notes, fmt.Sprintf("the registry has lost its image %s", image.Digest))
			}
			found[i], err = p.adopt(gctx, layer)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("look up images: %w", err)
	}
	images := make(map[layers.Key]Image, len(keys))
	for _, image := range found {
		if image != nil {
			images[image.Key] = *image
		}
	}
	plan.Decide(func(key layers.Key) bool { _, ok := images[key]; return ok })
	return images, nil
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
func (p *Pipeline) adopt(ctx context.Context, layer *layers.PlannedLayer) (*Image, error) {
	repository := p.repository(layer.Name)
	d, ok, err := p.Registry.Digest(ctx, repository, keyTag(layer.Key))
	if err != nil || !ok {
		return nil, err
	}
	image, err := p.describe(ctx, repository, layer.Key, d, "", nil)
	if err != nil {
		return nil, err
	}
	// A tag can be moved by anyone who may push; the label goes with the
	// content, so a mix-up is seen.
	if label(image.Config, keyLabel) != string(layer.Key) {
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
	below := map[digest.Digest]bool{}
	if parent != nil {
		image.Parent, image.ParentRef = parent.Digest, parent.Repository
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

// Execute makes the images that a plan lacks, siblings side by side, and says
// what became of each layer. A layer that fails blocks those that stand on it
// and no others. Progress may be nil.
func (p *Pipeline) Execute(ctx context.Context, plan *layers.Plan, have map[layers.Key]Image, progress func(Event)) Result {
	progress = serial(progress)
	places := make(chan struct{}, max(1, p.Parallel))
	results := make(map[layers.Name]*outcome, len(plan.Layers))
	for _, layer := range plan.Layers {
		results[layer.Name] = &outcome{done: make(chan struct{})}
	}
	for _, layer := range plan.Layers {
		result := results[layer.Name]
		go func() {
			defer close(result.done)
			var parent *Image
			if layer.Parent != nil {
				below := results[*layer.Parent]
				<-below.done
				parent = below.Image
			}
			result.Outcome = p.make(ctx, layer, parent, have, places, progress)
		}()
	}
	var result Result
	for _, layer := range plan.Layers {
		<-results[layer.Name].done
		result.Outcomes = append(result.Outcomes, results[layer.Name].Outcome)
	}
	return result
}

type outcome struct {
	Outcome
	done chan struct{}
}

// make brings about one layer's image.
func (p *Pipeline) make(ctx context.Context, layer *layers.PlannedLayer, parent *Image, have map[layers.Key]Image, places chan struct{}, progress func(Event)) Outcome {
	out := Outcome{Layer: layer.Name}
	switch {
	case layer.Step == layers.Absent:
		out.State = NotThere
		return out
	case layer.Fault != "":
		out.State, out.Error = Broken, &BuildError{File: layer.Dockerfile, Err: errors.New(layer.Fault)}
		return out
	case layer.Step == layers.Reuse:
		if image, ok := have[layer.Key]; ok {
			out.State, out.Image = Reused, &image
			return out
		}
	}
	if layer.Recipe.OnParent() && parent == nil {
		out.State, out.Error = Blocked, fmt.Errorf("its parent %s has no image", *layer.Parent)
		return out
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		out.State, out.Error = Stopped, context.Cause(ctx)
		return out
	}
	release, err := p.Flights.enter(ctx, layer.Key)
	if err == nil {
		defer release()
		err = p.build(ctx, layer, parent, &out, progress)
	}
	if err != nil {
		out.State, out.Error = Broken, err
		if ctx.Err() != nil {
			out.State, out.Error = Stopped, context.Cause(ctx)
		}
	}
	return out
}

// build makes one image, unless another build of the same key has just done it.
func (p *Pipeline) build(ctx context.Context, layer *layers.PlannedLayer, parent *Image, out *Outcome, progress func(Event)) error {
	known, err := p.lookup(ctx, []layers.Key{layer.Key})
	if err != nil {
		return err
	}
	if image, ok := known[layer.Key]; ok {
		confirmed, err := p.confirm(ctx, image)
		if err != nil {
			return err
		}
		if confirmed != nil {
			out.State, out.Image = Reused, confirmed
			return nil
		}
	}
	order, err := p.order(ctx, layer, parent)
	if err != nil {
		return err
	}
	began := time.Now()
	built, err := p.limited(ctx, order, layer.Dockerfile, progress)
	out.Steps, out.Log, out.Duration = built.Steps, string(built.Log), time.Since(began)
	if errors.Is(err, layers.ErrNotHere) { // no other attempt finds them
		err = &BuildError{File: layer.Dockerfile, Err: err}
	}
	if err != nil {
		return err
	}
	// The registry may know the image by its key before the ledger does: whoever
	// finds it there, adopts it.
	keyed := make(chan error, 1)
	go func() {
		keyed <- p.Registry.Tag(ctx, order.Repository, built.Digest, order.Repository, keyTag(layer.Key))
	}()
	winner, err := p.record(ctx, layer, order, built, parent)
	if err := errors.Join(err, <-keyed); err != nil {
		return err
	}
	if winner.Digest != built.Digest {
		if err := p.Registry.Tag(ctx, winner.Repository, winner.Digest, winner.Repository, keyTag(layer.Key)); err != nil {
			return err
		}
	}
	out.State, out.Image = Made, &winner
	return nil
}

// record describes what was built and publishes it.
func (p *Pipeline) record(ctx context.Context, layer *layers.PlannedLayer, order Order, built Built, parent *Image) (Image, error) {
	image, err := p.describe(ctx, order.Repository, layer.Key, built.Digest, built.Index, parent)
	if err != nil {
		return Image{}, err
	}
	return p.publish(ctx, image)
}

func (p *Pipeline) order(ctx context.Context, layer *layers.PlannedLayer, parent *Image) (Order, error) {
	var ref string
	var config []byte
	labels := map[string]string{keyLabel: string(layer.Key)}
	if parent != nil {
		ref, config = parent.Ref(), parent.Config
		labels[baseDigestLabel] = parent.Digest.String()
		labels[baseNameLabel] = string(*layer.Parent)
	} else if name, d := layer.Recipe.OutsideBase(); d != "" {
		labels[baseDigestLabel], labels[baseNameLabel] = d.String(), name
	}
	solvable, err := layer.Recipe.Bind(ctx, ref, config, p.Namespace)
	if err != nil {
		return Order{}, err
	}
	return Order{
		Layer: layer.Name, Key: layer.Key, Build: solvable, Repository: p.repository(layer.Name),
		Labels: labels, Annotations: labels,
	}, nil
}
