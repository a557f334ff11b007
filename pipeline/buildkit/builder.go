// Package buildkit makes images with BuildKit's Go client.
//
// Input is a [pipeline.Order]: a definition, the image configuration and the
// files that it may read; output is the digest of the image that BuildKit has
// pushed. Each image is one Solve of the definition, at the BuildKit that the
// layer's name hashes to. The package decides nothing about what to build,
// tags nothing, and runs no daemon: that is the daemon package's part.
package buildkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/buildkit/session"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Options of a builder. Compression, Reproducible and the daemons' version
// decide bytes: they are part of what a layer's key stands for, and one
// installation keeps to one setting of them.
type Options struct {
	// Addresses of BuildKit daemons, such as unix:///run/x/buildkitd.sock or
	// tcp://buildkit-0:1234; at least one.
	Addresses []string
	// TLS is for tcp addresses; nil is plain TCP.
	TLS *TLS
	// Limit is the most builds at a time on each daemon; 0 is 4.
	Limit int
	// Compression of new blobs; empty is [Zstd].
	Compression Compression
	// Reproducible clamps all times to [Epoch], in the configuration and in
	// the layers, so that two daemons make one digest of one definition, where
	// its RUN steps allow. It costs a second pass over each new blob.
	Reproducible bool
	// Attestations to attach to each image.
	Attestations Attestations
	// CacheExport is a repository (HOST/PATH) that the build cache of each
	// layer is written to, under the layer's name as tag; empty is none. A
	// failed export does not fail the build.
	CacheExport string
	// CacheImport are repositories to read such caches from.
	CacheImport []string
	// Secrets that RUN --mount=type=secret may ask for, by name. A build is only
	// given those that its order names.
	Secrets map[string]Secret
	// SSH agents that RUN --mount=type=ssh may ask for, by name: the socket of
	// an agent, or private key files. As with secrets, the order names them.
	SSH map[string][]string
	// Keychain has the registries' credentials; nil is docker's configuration
	// file and its helpers.
	Keychain authn.Keychain
	// PlainHTTP lists registries (HOST or HOST:PORT) without TLS; those on
	// loopback are so without being named. BuildKit has its own list.
	PlainHTTP []string
}

// Builder implements [pipeline.Builder].
type Builder struct {
	options Options
	nodes   []*node
	auth    session.Attachable
}

var _ pipeline.Builder = (*Builder)(nil)

// New makes a builder. It does not contact the daemons.
func New(o Options) (*Builder, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New("no address of a BuildKit")
	}
	if o.Limit <= 0 {
		o.Limit = 4
	}
	if o.Compression == "" {
		o.Compression = Zstd
	}
	if err := o.Compression.Check(); err != nil {
		return nil, err
	}
	if err := o.Attestations.check(); err != nil {
		return nil, err
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	b := &Builder{options: o, auth: registryAuth(o.Keychain)}
	for _, address := range o.Addresses {
		n, err := newNode(address, o.TLS, o.Limit)
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("BuildKit at %s: %w", address, err)
		}
		b.nodes = append(b.nodes, n)
	}
	return b, nil
}

// Close ends the connections.
func (b *Builder) Close() error {
	var errs []error
	for _, n := range b.nodes {
		errs = append(errs, n.client.Close())
	}
	return errors.Join(errs...)
}

// Ping asks the daemons for a sign of life. It is an error if none answers.
func (b *Builder) Ping(ctx context.Context) error {
	answers := make(chan error, len(b.nodes))
	for _, n := range b.nodes {
		go func() { answers <- n.reach(ctx) }()
	}
	var unreachable []error
	for range b.nodes {
		err := <-answers
		if err == nil {
			return nil
		}
		unreachable = append(unreachable, err)
	}
	return errors.Join(unreachable...)
}

// Build implements [pipeline.Builder]. A layer builds at the daemon that its
// name hashes to, where its cache is, and at the next one if that one cannot
// be reached.
func (b *Builder) Build(ctx context.Context, order pipeline.Order, progress func(pipeline.Event)) (pipeline.Built, error) {
	if progress == nil {
		progress = func(pipeline.Event) {}
	}
	var unreachable []error
	for _, n := range rank(b.nodes, string(order.Layer)) {
		release, err := n.enter(ctx)
		if err != nil {
			return pipeline.Built{}, err
		}
		if err := n.reach(ctx); err != nil {
			release()
			if ctx.Err() != nil {
				return pipeline.Built{}, context.Cause(ctx)
			}
			unreachable = append(unreachable, err)
			continue
		}
		built, err := b.solve(ctx, n.client, order, progress)
		release()
		return built, err
	}
	return pipeline.Built{}, fmt.Errorf("build %s: %w", order.Layer, errors.Join(unreachable...))
}
