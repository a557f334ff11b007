package cleanup

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

const (
	// asking is how long a registry is asked in one go while no run can begin.
	asking = 20 * time.Second
	// fresh is how old an answer may be that still counts.
	fresh = 5 * time.Minute
	// askers is how many questions are open at once.
	askers = 16
)

// errSlow says that a registry has not answered all questions in one go. Those
// that it has answered are remembered.
var errSlow = errors.New("the registry is slow to say what its tags point at")

// asker asks a registry what tags point at, and remembers for a while, so that
// one with very many tags is asked in several goes.
type asker struct {
	registry Registry

	mu    sync.Mutex
	heard map[tagged]answer
}

type tagged struct{ repository, name string }

type answer struct {
	Target
	at time.Time
}

func newAsker(r Registry) *asker { return &asker{registry: r, heard: map[tagged]answer{}} }

// list reads what the tags of a repository point at, but for our own, which
// protect nothing. What an index holds is asked for where it is not a known
// image.
func (a *asker) list(ctx context.Context, repository string, ours map[string]bool, known map[digest.Digest]bool) (map[string]Target, error) {
	names, err := a.registry.Tags(ctx, repository)
	if err != nil {
		return nil, err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(askers)
	for _, name := range names {
		at := tagged{repository, name}
		if ours[name] || a.hears(at) {
			continue
		}
		group.Go(func() error { return a.ask(gctx, at, known) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	listing := make(map[string]Target, len(names))
	for _, name := range names {
		if target := a.heard[tagged{repository, name}].Target; !ours[name] && target.Digest != "" {
			listing[name] = target
		}
	}
	return listing, nil
}

// hears reports whether there is an answer that still counts.
func (a *asker) hears(at tagged) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.heard[at]
	return ok && time.Since(known.at) < fresh
}

// ask asks about one tag. One that went meanwhile points at nothing.
func (a *asker) ask(ctx context.Context, at tagged, known map[digest.Digest]bool) error {
	began := time.Now()
	d, ok, err := a.registry.Digest(ctx, at.repository, at.name)
	if err != nil {
		return err
	}
	var target Target
	if ok {
		target.Digest = d
		if !known[d] {
			if target.Holds, err = a.registry.Holds(ctx, at.repository, d); err != nil {
				return err
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard[at] = answer{target, began}
	return nil
}
