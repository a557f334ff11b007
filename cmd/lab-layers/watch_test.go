package main

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// watch notes when the parts of an agent are at work, to say where its time
// goes. What its parts do side by side counts once.
type watch struct {
	mu     sync.Mutex
	active map[string]int
	since  map[string]time.Time
	took   map[string]time.Duration
	builds int
}

func (w *watch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active, w.since, w.took, w.builds = map[string]int{}, map[string]time.Time{}, map[string]time.Duration{}, 0
}

// note begins a phase; call the returned function at its end.
func (w *watch) note(phase string) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[phase]++; w.active[phase] == 1 {
		w.since[phase] = time.Now()
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.active[phase]--; w.active[phase] == 0 {
			w.took[phase] += time.Since(w.since[phase])
		}
	}
}

// attach puts the watch between a carrier and its parts.
func (w *watch) attach(c *agent.Carrier) {
	p := c.Pipeline
	p.Builder = watchedBuilder{p.Builder, w}
	p.Registry = watchedRegistry{p.Registry, w}
	p.Ledger = watchedLedger{p.Ledger, w}
	p.Surveyor = watchedSurveyor{p.Surveyor, w}
}

type watchedSource struct {
	agent.Source
	watch *watch
}

func (s watchedSource) Refs(ctx context.Context) (map[layers.Ref]layers.Commit, error) {
	defer s.watch.note("git refs")()
	return s.Source.Refs(ctx)
}

func (s watchedSource) Fetch(ctx context.Context, ref layers.Ref, commit layers.Commit) error {
	defer s.watch.note("git fetch")()
	return s.Source.Fetch(ctx, ref, commit)
}

type watchedStore struct {
	agent.Store
	watch *watch
}

func (s watchedStore) Repository(ctx context.Context, url string) (agent.RepositoryID, error) {
	defer s.watch.note("db look")()
	return s.Store.Repository(ctx, url)
}

func (s watchedStore) Refs(ctx context.Context, id agent.RepositoryID, names ...layers.Ref) (map[layers.Ref]layers.Commit, error) {
	defer s.watch.note("db look")()
	return s.Store.Refs(ctx, id, names...)
}

func (s watchedStore) Record(ctx context.Context, moves []agent.Move) ([]agent.Run, error) {
	defer s.watch.note("db record")()
	return s.Store.Record(ctx, moves)
}

func (s watchedStore) Claim(ctx context.Context, owner string, lease time.Duration, urls ...string) (*agent.Run, error) {
	defer s.watch.note("db claim")()
	return s.Store.Claim(ctx, owner, lease, urls...)
}

func (s watchedStore) Finish(ctx context.Context, run agent.Run, v agent.Verdict) error {
	defer s.watch.note("db finish")()
	return s.Store.Finish(ctx, run, v)
}

type watchedBuilder struct {
	pipeline.Builder
	watch *watch
}

func (b watchedBuilder) Build(ctx context.Context, order pipeline.Order, progress func(pipeline.Event)) (pipeline.Built, error) {
	defer b.watch.note("build")()
	b.watch.mu.Lock()
	b.watch.builds++
	b.watch.mu.Unlock()
	return b.Builder.Build(ctx, order, progress)
}

type watchedRegistry struct {
	pipeline.Registry
	watch *watch
}

func (r watchedRegistry) Digest(ctx context.Context, repository, tagOrDigest string) (digest.Digest, bool, error) {
	defer r.watch.note("look up")()
	return r.Registry.Digest(ctx, repository, tagOrDigest)
}

func (r watchedRegistry) Inspect(ctx context.Context, repository string, d digest.Digest) ([]byte, []pipeline.Blob, error) {
	defer r.watch.note("inspect")()
	return r.Registry.Inspect(ctx, repository, d)
}

func (r watchedRegistry) Tag(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	defer r.watch.note("tag")()
	return r.Registry.Tag(ctx, from, d, to, tag)
}

type watchedLedger struct {
	pipeline.Ledger
	watch *watch
}

func (l watchedLedger) Images(ctx context.Context, keys []layers.Key) (map[layers.Key]pipeline.Image, error) {
	defer l.watch.note("db images")()
	return l.Ledger.Images(ctx, keys)
}

func (l watchedLedger) Publish(ctx context.Context, image pipeline.Image) (pipeline.Image, error) {
	defer l.watch.note("db publish")()
	return l.Ledger.Publish(ctx, image)
}

type watchedSurveyor struct {
	pipeline.Surveyor
	watch *watch
}

func (s watchedSurveyor) Survey(ctx context.Context, image pipeline.Image, parent *pipeline.Image) (pipeline.Metadata, error) {
	defer s.watch.note("survey")()
	return s.Surveyor.Survey(ctx, image, parent)
}
