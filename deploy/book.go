package deploy

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// book is what the records say, kept in memory by the one process that writes
// them.
type book struct {
	reading   sync.Mutex // of releases, one at a time
	mu        sync.Mutex
	tracked   map[string]*tracked // by the repositories' URLs
	pins      map[Environment]Pin
	last      map[Environment]Rollout
	standings map[Environment]Standing
	// healthy are the rollouts that were healthy last before those that went back.
	healthy map[Environment]healthyBefore
	// refs are those that have a release, by the repositories' URLs, of those that
	// were asked about.
	refs map[string][]layers.Ref
}

// tracked are the releases of a repository that environments follow.
type tracked struct {
	refs     map[layers.Ref]bool
	tags     bool
	releases []Release
	read     bool // the releases are of all these
}

func newBook() *book {
	return &book{tracked: map[string]*tracked{}, pins: map[Environment]Pin{}, last: map[Environment]Rollout{}, standings: map[Environment]Standing{}, healthy: map[Environment]healthyBefore{}, refs: map[string][]layers.Ref{}}
}

// load reads what was recorded before this process led.
func (b *book) load(ctx context.Context, store Store) error {
	rollouts, err := store.Rollouts(ctx)
	if err != nil {
		return err
	}
	standings, err := store.Standings(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	for _, r := range rollouts {
		b.last[r.Environment] = r
	}
	for _, s := range standings {
		b.standings[s.Environment] = s
	}
	b.mu.Unlock()
	return b.refresh(ctx, store)
}

// refresh reads what other processes may have changed: releases, pins, and who
// is to be resumed.
func (b *book) refresh(ctx context.Context, store Store) error {
	pins, err := store.Pins(ctx)
	if err != nil {
		return err
	}
	resumed, err := store.Resumed(ctx)
	if err != nil {
		return err
	}
	passed, err := store.Passed(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	for e, r := range b.last {
		if now := passed[r.ID]; len(now) > len(r.Passed) {
			r.Passed = now
			b.last[e] = r
		}
	}
	b.pins = map[Environment]Pin{}
	for _, p := range pins {
		b.pins[p.Environment] = p
	}
	for _, e := range resumed {
		if s, ok := b.standings[e]; ok {
			s.Resumed = true
			b.standings[e] = s
		}
	}
	clear(b.refs)
	urls := slices.Collect(maps.Keys(b.tracked))
	b.mu.Unlock()
	for _, url := range urls {
		if err := b.reread(ctx, store, url); err != nil {
			return err
		}
	}
	return nil
}

// reread reads the releases of a repository that are followed.
func (b *book) reread(ctx context.Context, store Store, url string) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.rereadLocked(ctx, store, url)
}

func (b *book) rereadLocked(ctx context.Context, store Store, url string) error {
	b.mu.Lock()
	refs, tags := slices.Collect(maps.Keys(b.tracked[url].refs)), b.tracked[url].tags
	b.mu.Unlock()
	releases, err := store.Releases(ctx, url, refs, tags)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tracked[url].releases, b.tracked[url].read = releases, true
	return nil
}

// newest finds the newest release of a track, and follows it from now on.
func (b *book) newest(ctx context.Context, store Store, url string, track Track) (*Release, error) {
	if release, follows := b.followed(url, track); follows {
		return release, nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	if release, follows := b.followed(url, track); follows {
		return release, nil
	}
	b.mu.Lock()
	t := b.tracked[url]
	if t == nil {
		t = &tracked{refs: map[layers.Ref]bool{}}
		b.tracked[url] = t
	}
	was := *t
	t.refs = maps.Clone(t.refs)
	if track.ref == "" {
		t.tags = true
	} else {
		t.refs[track.ref] = true
	}
	t.read = false
	b.mu.Unlock()
	if err := b.rereadLocked(ctx, store, url); err != nil {
		b.mu.Lock()
		*t = was
		b.mu.Unlock()
		return nil, err
	}
	release, _ := b.followed(url, track)
	return release, nil
}

// followed is the newest release of a track, if its releases have been read.
func (b *book) followed(url string, track Track) (_ *Release, follows bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tracked[url]
	if t == nil || !t.read || track.ref == "" && !t.tags || track.ref != "" && !t.refs[track.ref] {
		return nil, false
	}
	return track.Newest(t.releases), true
}

// released are the refs of a repository that have a release.
func (b *book) released(ctx context.Context, store Store, url string) ([]layers.Ref, error) {
	b.mu.Lock()
	refs, ok := b.refs[url]
	b.mu.Unlock()
	if ok {
		return refs, nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	refs, err := store.ReleasedRefs(ctx, url)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refs[url] = refs
	return refs, nil
}

// entry is what the book has of one environment.
type entry struct {
	last     *Rollout
	pin      *Pin
	standing *Standing
}

// goesOn reports whether a workload has a rollout that is to be followed to its end.
func (e entry) goesOn(w *workload) bool {
	return e.last != nil && e.last.UID == w.uid && e.last.State.underWay()
}

func (b *book) entry(e Environment) (found entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.last[e]; ok {
		found.last = &r
	}
	if p, ok := b.pins[e]; ok {
		found.pin = &p
	}
	if s, ok := b.standings[e]; ok {
		found.standing = &s
	}
	return found
}

func (b *book) setLast(r Rollout) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if was := b.last[r.Environment]; was.ID == r.ID && len(was.Passed) > len(r.Passed) {
		r.Passed = was.Passed // read meanwhile
	}
	b.last[r.Environment] = r
}

func (b *book) setStanding(s Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.standings[s.Environment] = s
}

// healthyBefore is the rollout that was healthy last before another; nil if none was.
type healthyBefore struct {
	than    int64
	rollout *Rollout
}

// before finds the rollout of a workload that was healthy last before another one,
// which went back to its images.
func (b *book) before(ctx context.Context, store Store, r Rollout) (*Rollout, error) {
	b.mu.Lock()
	found, ok := b.healthy[r.Environment]
	b.mu.Unlock()
	if ok && found.than == r.ID {
		return found.rollout, nil
	}
	rollout, err := store.LastHealthy(ctx, r.Environment, r.UID)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healthy[r.Environment] = healthyBefore{r.ID, rollout}
	return rollout, nil
}

// resumed notes that a wish to be resumed is fulfilled.
func (b *book) resumed(e Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.standings[e]; ok {
		s.Resumed = false
		b.standings[e] = s
	}
}

func (b *book) forget(e Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.last, e)
	delete(b.standings, e)
	delete(b.healthy, e)
}

// known are the environments in the book.
func (b *book) known() []Environment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.standings))
}

// in are the environments whose last rollouts are in one of some states.
func (b *book) in(states ...State) (all []Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e, r := range b.last {
		if slices.Contains(states, r.State) {
			all = append(all, e)
		}
	}
	return all
}

// with are the environments that have one of some images, or are about to get it.
func (b *book) with(digests map[digest.Digest]bool) (all []Environment) {
	if len(digests) == 0 {
		return nil
	}
	has := func(images []Image) bool {
		return slices.ContainsFunc(images, func(i Image) bool { return digests[digestOf(i.To)] })
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for e, s := range b.standings {
		if has(s.Images) || has(b.last[e].Images) {
			all = append(all, e)
		}
	}
	return all
}
