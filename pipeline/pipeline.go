package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

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
	// Adopt believes the registry about images that the ledger does not know.
	// It is for a registry that nobody else may push to: who may, could plant an
	// image for a key.
	Adopt bool
	// Flights is shared by all pipelines of a process.
	Flights *Flights
	// Turn waits until no other process builds a key, and keeps others from it
	// until it is told of the end. It only saves work: where two build a key all
	// the same, the ledger decides. Nil is for a process that has no others.
	Turn func(context.Context, layers.Key) (end func(), err error)
}

// Within is the same pipeline in another namespace.
func (p *Pipeline) Within(namespace string) *Pipeline {
	other := *p
	other.Namespace = namespace
	return &other
}

// keyLabel names an image's key in its configuration and its manifest.
const keyLabel = "dev.lab-layers.key"

// KeyTag is the tag under which the registry itself knows an image by its key:
// so a lost database finds its way back, and a registry that deletes what has
// no tag keeps the image.
func KeyTag(key layers.Key) string {
	return "key-" + strings.TrimPrefix(string(key), "sha256:")
}

func (p *Pipeline) repository(layer layers.Name) string {
	return path.Join(p.Prefix, p.Namespace, string(layer))
}

// Execute makes the images that a plan lacks, siblings side by side, and says
// what became of each layer. A layer that fails blocks those that stand on it
// and no others. Progress may be nil.
func (p *Pipeline) Execute(ctx context.Context, plan *layers.Plan, have map[layers.Key]Image, grant Grant, progress func(Event)) Result {
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
			result.Outcome = p.make(ctx, layer, parent, have, grant, places, progress)
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
func (p *Pipeline) make(ctx context.Context, layer *layers.PlannedLayer, parent *Image, have map[layers.Key]Image, grant Grant, places chan struct{}, progress func(Event)) Outcome {
	out := Outcome{Layer: layer.Name}
	switch {
	case layer.Step == layers.Absent:
		out.State = NotThere
		return out
	case layer.Fault != "":
		out.State, out.Error = Broken, &BuildError{File: layer.Dockerfile, Err: errors.New(layer.Fault)}
		return out
	case layer.Step == layers.Reuse:
		if image, ok := have[layer.Key]; ok && image.on(parent) {
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
	release, err := p.enter(ctx, layer.Key)
	if err == nil {
		defer release()
		err = p.build(ctx, layer, parent, grant, &out, progress)
	}
	if err != nil {
		out.State, out.Error = Broken, err
		if ctx.Err() != nil {
			out.State, out.Error = Stopped, context.Cause(ctx)
		}
	}
	return out
}

// enter waits until nobody else builds a key.
func (p *Pipeline) enter(ctx context.Context, key layers.Key) (release func(), err error) {
	here, err := p.Flights.enter(ctx, key)
	if err != nil || p.Turn == nil {
		return here, err
	}
	end, err := p.Turn(ctx, key)
	if err != nil {
		here()
		return nil, err
	}
	return func() { end(); here() }, nil
}

// build makes one image, unless another build of the same key has just done it.
func (p *Pipeline) build(ctx context.Context, layer *layers.PlannedLayer, parent *Image, grant Grant, out *Outcome, progress func(Event)) error {
	known, err := p.lookup(ctx, []layers.Key{layer.Key})
	if err != nil {
		return err
	}
	old, replaces := known[layer.Key]
	if replaces {
		confirmed, err := p.confirm(ctx, old)
		if err != nil {
			return err
		}
		if confirmed != nil && confirmed.on(parent) {
			out.State, out.Image = Reused, confirmed
			return nil
		}
		if replaces = confirmed != nil; replaces {
			restand(layer, old, parent)
		}
	}
	order, err := p.order(ctx, layer, parent, grant)
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
	image, err := p.describe(ctx, order.Repository, layer.Key, built.Digest, built.Index, parent)
	if err != nil {
		return err
	}
	if replaces { // not before: where it cannot be built, the old one still counts
		if err := p.Ledger.Forget(ctx, old.Key, old.Digest); err != nil {
			return err
		}
	}
	// The registry may know the image by its key before the ledger does: whoever
	// finds it there and believes it, adopts it.
	keyed := make(chan error, 1)
	go func() {
		keyed <- p.Registry.Tag(ctx, order.Repository, built.Digest, order.Repository, KeyTag(layer.Key))
	}()
	winner, err := p.publish(ctx, image)
	if err := errors.Join(err, <-keyed); err != nil {
		return err
	}
	if winner.Digest != built.Digest {
		if err := p.Registry.Tag(ctx, winner.Repository, winner.Digest, winner.Repository, KeyTag(layer.Key)); err != nil {
			return err
		}
	}
	out.State, out.Image = Made, &winner
	return nil
}

func (p *Pipeline) order(ctx context.Context, layer *layers.PlannedLayer, parent *Image, grant Grant) (Order, error) {
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
	order := Order{
		Layer: layer.Name, Key: layer.Key, Repository: p.repository(layer.Name),
		Labels: labels, Annotations: labels,
	}
	if err := grant.give(layer, &order); err != nil {
		return Order{}, err
	}
	caches := p.Namespace
	if len(order.Secrets)+len(order.SSH) > 0 {
		// What others left in a cache mount could read the secrets. No
		// namespace has a colon.
		caches = "secrets:" + caches
	}
	var err error
	order.Build, err = layer.Recipe.Bind(ctx, ref, config, caches)
	return order, err
}
