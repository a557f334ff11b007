package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// leader is an engine while it is the one that deploys.
type leader struct {
	*Engine
	cluster *cluster
	book    *book
	queue   workqueue.TypedRateLimitingInterface[Environment]
	stop    context.CancelCauseFunc
	turns   *turns
	// holdings is which nodes have which images, and pulls who pulls.
	holdings    *holdings
	pulls       *pulls
	heldBy      *holds
	corrections *corrections
	canaries

	mu sync.Mutex
	// sent is the generation that our own last patch gave a workload. What the
	// watch tells of an earlier one is out of date.
	sent   map[Environment]sent
	clocks map[Environment]progressClock
}

// sent is what a patch made of a workload.
type sent struct {
	uid        string
	generation int64
}

// progressClock tells for how long nothing has moved.
type progressClock struct {
	at    string // how far it was
	since time.Time
}

// longestWay is more steps than any way has that needs nobody else to act.
const longestWay = 8

// reconcile brings one environment as far as it can be brought now. A time
// other than 0 is when to look again if nothing happens.
func (l *leader) reconcile(ctx context.Context, e Environment) (again time.Duration, err error) {
	w := l.cluster.workload(e)
	if w == nil {
		return 0, l.absent(ctx, e)
	}
	adoption, fault := w.adopted(l.Settings)
	if adoption == nil {
		if err := l.sweep(ctx, e, nil); err != nil {
			return 0, err
		}
		return 0, l.gone(ctx, e, "the workload is not an environment any more")
	}
	url, known := l.Repositories.URL(adoption.repository)
	if fault == nil && !known {
		fault = fmt.Errorf("%s is %.80q: take %s", RepositoryAnnotation, adoption.repository, l.Repositories.Choices())
	}
	faulty := func(fault error) error {
		l.standsAside(e)
		return l.observe(ctx, Standing{
			Environment: e, UID: w.uid, Repository: url, Track: w.annotations[TrackAnnotation], Images: w.listed(adoption),
			State: Faulty, Reason: fault.Error(),
		})
	}
	if fault != nil {
		return 0, faulty(fault)
	}
	for range longestWay {
		if l.outOfDate(w) {
			return 0, nil // the watch is about to tell more
		}
		found := l.book.entry(e)
		if adoption.unsettled != nil && found.pin == nil && !found.goesOn(w) {
			return 0, faulty(adoption.unsettled)
		}
		f, waiting, err := l.look(ctx, w, adoption, url, found)
		if err != nil {
			return 0, err
		}
		if last := f.last; last != nil && last.State.underWay() && w.lasting() {
			if f.lost {
				l.passTurn(e)
			} else {
				l.turns.has(e)
			}
		}
		after, moved, err := l.do(ctx, &f, decide(f))
		if err != nil {
			return 0, err
		}
		if moved {
			w = f.workload
			continue
		}
		if after == 0 && f.drift() != "" {
			after = f.rest
		}
		standing := f.standing(waiting)
		standing.Repository = url
		if adoption.unsettled != nil && standing.State == Healthy {
			standing.State, standing.Reason = Faulty, adoption.unsettled.Error()
		}
		if err := l.sweep(ctx, e, f.last); err != nil {
			return 0, err
		}
		if standing.Nodes, err = l.nodes(ctx, &f); err != nil {
			return 0, err
		}
		return after, l.observe(ctx, standing)
	}
	return time.Second, nil
}

// absent records what it means that an environment has no workload.
func (l *leader) absent(ctx context.Context, e Environment) error {
	if err := l.sweep(ctx, e, nil); err != nil {
		return err
	}
	if why := l.cluster.unseen(e); why != "" {
		return l.overlook(ctx, e, why)
	}
	return l.gone(ctx, e, "the workload was deleted")
}

// look gathers what is decided by about an environment. waiting is why it has no
// target, or what waits for its pin to be taken off.
func (l *leader) look(ctx context.Context, w *workload, a *adoption, url string, found entry) (f facts, waiting string, err error) {
	goal, waiting, err := l.target(ctx, w, a, url, found)
	if err != nil {
		l.cannot(ctx, "read releases", w.Environment, err)
		return f, "", err
	}
	if a.unsettled != nil && found.pin == nil {
		goal = nil
	}
	f = facts{
		workload: w, adoption: a, target: goal, last: found.last,
		resumed: found.standing != nil && found.standing.Resumed,
		rest:    l.corrections.rest(w.Environment, l.Now()),
	}
	if f.wentBack() {
		if f.before, err = l.book.before(ctx, l.Store, *f.last); err != nil {
			l.cannot(ctx, "read which rollout was healthy before", w.Environment, err)
			return f, "", err
		}
	}
	pods := l.pods(w, a)
	f.trouble, f.others, f.lost = pods.trouble(), pods.others, pods.lost()
	f.still = l.still(f)
	return f, waiting, nil
}

// outOfDate reports whether a workload was read before our own last patch.
func (l *leader) outOfDate(w *workload) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sent[w.Environment]
	return ok && s.uid == w.uid && w.generation < s.generation
}

// target is what an environment should run: what it is pinned to, or the newest
// release. waiting says why there is none, or what waits for the pin to be taken off.
func (l *leader) target(ctx context.Context, w *workload, a *adoption, url string, found entry) (_ *target, waiting string, err error) {
	now := w.managed(a)
	if p := found.pin; p != nil {
		t := &target{repository: url, ref: p.Ref, commit: p.Commit, pinned: true, images: Images{}}
		for container, image := range now {
			t.images[container] = image
			if pinned, ok := p.Images[container]; ok {
				t.images[container] = l.full(pinned)
			}
		}
		waiting, err := l.pinned(ctx, a, url, now)
		return t, waiting, err
	}
	release, err := l.book.newest(ctx, l.Store, url, a.track)
	if err != nil {
		return nil, "", err
	}
	if release == nil {
		refs, err := l.book.released(ctx, l.Store, url)
		if err != nil {
			return nil, "", err
		}
		waiting = fmt.Sprintf("no run of %s has made images yet", named(a.track.String())) + a.track.meant(refs)
		if _, chosen := w.annotations[TrackAnnotation]; !chosen {
			waiting += "; to follow another branch annotate " + TrackAnnotation
		}
		return nil, waiting, nil
	}
	t := &target{repository: url, ref: release.Ref, commit: release.Commit, run: release.Run, released: release.Recorded, images: Images{}}
	for _, container := range now.sorted() {
		layer := a.layers[container]
		image, ok := release.Images[layer]
		if !ok {
			return nil, fmt.Sprintf("commit %s of %s has no image of layer %s", release.Commit.Short(), named(a.track.String()), layer) + release.meant(layer), nil
		}
		t.images[container] = l.Registry + "/" + image
	}
	return t, "", nil
}

// pinned says what an environment would run now, were it not pinned; empty where that
// is what it runs.
func (l *leader) pinned(ctx context.Context, a *adoption, url string, now Images) (string, error) {
	if a.unsettled != nil {
		return "", nil
	}
	release, err := l.book.newest(ctx, l.Store, url, a.track)
	if err != nil || release == nil {
		return "", err
	}
	for container, image := range now {
		if newer, ok := release.Images[a.layers[container]]; ok && !sameImage(image, newer) {
			return fmt.Sprintf("commit %s of %s waits for the pin to be taken off", release.Commit.Short(), named(a.track.String())), nil
		}
	}
	return "", nil
}

// still is for how long a rollout has not moved, by our own clock. A node that is
// there again gives it its time anew.
func (l *leader) still(f facts) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.last == nil || !f.last.State.underWay() {
		delete(l.clocks, f.workload.Environment)
		return 0
	}
	at := fmt.Sprint(f.last.ID, f.last.State, f.workload.generation, f.workload.progress.line, f.lost)
	clock := l.clocks[f.workload.Environment]
	if clock.at != at {
		clock = progressClock{at, l.Now()}
		l.clocks[f.workload.Environment] = clock
	}
	return l.Now().Sub(clock.since)
}
