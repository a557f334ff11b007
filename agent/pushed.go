package agent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/distribution/reference"
)

const (
	// settle is how long to wait after a pushed tag for others of the same lot.
	settle = 2 * time.Second
	// calm is the pause after that: however often somebody pushes, a repository's
	// base images are refreshed once in that time.
	calm = time.Minute
	// maxPushed bounds the tags that are noted meanwhile.
	maxPushed = 1024
)

// Pushed notes that a registry says that somebody pushed a tag, and returns at
// once. The repository is a path in the registry: by which name who pushes knows
// the registry says nothing of the name in Dockerfiles. Soon after, the
// repositories whose trunk stands on that image, or failed as it was not there, are
// refreshed, as [Agent.Refresh] does.
func (a *Agent) Pushed(repository, tag string) {
	a.hang()
	if !a.pushed.add(repository + ":" + tag) {
		a.Log.Debug("too many pushed tags; this one waits for the next refresh on schedule", "repository", repository, "tag", tag)
	}
}

// pushed is the tags that were pushed since somebody looked, as PATH:TAG.
type pushed struct {
	mu   sync.Mutex
	tags map[string]bool
	rung chan struct{} // has room for one
}

func newPushed() *pushed {
	return &pushed{tags: map[string]bool{}, rung: make(chan struct{}, 1)}
}

// add reports false if there are too many.
func (p *pushed) add(tag string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tags) >= maxPushed && !p.tags[tag] {
		return false
	}
	p.tags[tag] = true
	signal(p.rung)
	return true
}

func (p *pushed) take() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	tags := p.tags
	p.tags = map[string]bool{}
	return tags
}

// heed refreshes what stands on pushed images until the context ends. A trunk
// that has a run which has not ended may have resolved its base images before the
// push, so it is left for the next round.
func (a *Agent) heed(ctx context.Context) {
	left := map[Source]bool{}
	for {
		if len(left) == 0 {
			select {
			case <-a.pushed.rung:
			case <-ctx.Done():
				return
			}
		}
		wait(ctx, settle, nil)
		if ctx.Err() != nil {
			return
		}
		tags := a.pushed.take()
		for _, source := range a.Sources {
			done, err := a.heedIn(ctx, source, tags, left[source])
			if err != nil && ctx.Err() == nil {
				a.Log.Warn("cannot refresh base images that were pushed", "repository", source.URL(), "error", err)
			}
			delete(left, source)
			if !done { // where that is not known either, a run too many does no harm
				left[source] = true
			}
		}
		wait(ctx, calm, nil)
	}
}

// heedIn refreshes a repository if its images stand on one of the tags, or in any
// case. It reports whether that is done with.
func (a *Agent) heedIn(ctx context.Context, source Source, tags map[string]bool, anyway bool) (done bool, err error) {
	id, err := a.Store.Repository(ctx, source.URL())
	if err != nil {
		return false, err
	}
	trunk, err := FindTrunk(ctx, a.Store, id)
	if err != nil {
		return false, err
	}
	if trunk.Ref == "" {
		return true, nil
	}
	if !anyway {
		images, err := a.Carrier.Records.Outside(ctx, id, trunk.Ref)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(images, func(image string) bool { return tags[pathAndTag(image)] }) {
			return true, nil
		}
	}
	run, err := a.again(ctx, source, id, trunk, "queued to refresh its base images")
	return run != nil, err
}

// pathAndTag is what a reference has after the registry's host; empty if it names
// a digest, so that no push moves it.
func pathAndTag(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	if _, pinned := named.(reference.Digested); pinned {
		return ""
	}
	tagged, ok := reference.TagNameOnly(named).(reference.Tagged)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s:%s", reference.Path(named), tagged.Tag())
}
