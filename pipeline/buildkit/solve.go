package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/lab-layers/lab-layers/pipeline"
)

// solve has one daemon make an order's image.
func (b *Builder) solve(ctx context.Context, c *client.Client, order pipeline.Order, progress func(pipeline.Event)) (pipeline.Built, error) {
	built := pipeline.Built{Started: time.Now()}
	fail := func(err error) (pipeline.Built, error) {
		built.Ended = time.Now()
		var mistake *pipeline.BuildError
		if errors.As(err, &mistake) {
			return built, mistake
		}
		return built, fmt.Errorf("build %s: %w", order.Layer, err)
	}
	solving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	files := newGuard(order.Build.Files, stop)
	options, err := b.solveOptions(order, files)
	if err != nil {
		return fail(err)
	}
	seen := newRecorder(order.Layer, order.Build.Definition, progress)
	statuses := make(chan *client.SolveStatus)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for status := range statuses {
			seen.add(status)
		}
	}()
	response, err := c.Solve(solving, order.Build.Definition, options, statuses)
	<-drained
	built.Steps, built.Log = seen.steps(), seen.log.bytes()
	switch fault := files.Fault(); {
	case err != nil && ctx.Err() != nil:
		built.Ended = time.Now()
		return built, context.Cause(ctx)
	case fault != nil: // whatever BuildKit made of it
		return fail(fmt.Errorf("send the build context: %w", fault))
	case err != nil:
		return fail(seen.explain(err))
	}
	if err := b.identify(ctx, order.Repository, response.ExporterResponse, &built); err != nil {
		return fail(fmt.Errorf("find out what was pushed: %w", err))
	}
	built.Ended = time.Now()
	return built, nil
}

func (b *Builder) solveOptions(order pipeline.Order, files *guard) (client.SolveOpt, error) {
	if order.Build.Definition == nil {
		return client.SolveOpt{}, errors.New("the order has no definition")
	}
	if err := forbidden(order.Build.Definition); err != nil {
		return client.SolveOpt{}, err
	}
	export, err := b.export(order)
	if err != nil {
		return client.SolveOpt{}, err
	}
	attached, err := b.attachables(order)
	if err != nil {
		return client.SolveOpt{}, err
	}
	options := client.SolveOpt{
		Exports:       []client.ExportEntry{export},
		Session:       attached,
		FrontendAttrs: b.options.Attestations.attributes(),
	}
	options.CacheImports, options.CacheExports = b.caches(order.Layer)
	if order.Build.LocalName != "" {
		options.LocalMounts = map[string]fsutil.FS{order.Build.LocalName: files}
	}
	return options, nil
}

// identify fills in the digests of what was pushed.
func (b *Builder) identify(ctx context.Context, repository string, response map[string]string, built *pipeline.Built) error {
	pushed, err := digest.Parse(response[exptypes.ExporterImageDigestKey])
	if err != nil {
		return fmt.Errorf("BuildKit's answer has no digest: %w", err)
	}
	if !b.options.Attestations.any() {
		built.Digest = pushed
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(response[exptypes.ExporterImageDescriptorKey])
	if err != nil {
		return err
	}
	var descriptor ocispecs.Descriptor
	if err := json.Unmarshal(data, &descriptor); err != nil {
		return err
	}
	if descriptor.MediaType != ocispecs.MediaTypeImageIndex {
		return fmt.Errorf("attestations are on, but %s is no index: %s", pushed, descriptor.MediaType)
	}
	built.Index = pushed
	built.Digest, err = b.manifestIn(ctx, repository, pushed)
	return err
}
