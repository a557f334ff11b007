package deploy

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// leader is an engine while it is the one that deploys.
type leader struct {
	*Engine
	cluster *cluster
	book    *book
	queue   workqueue.TypedRateLimitingInterface[Environment]
	stop    context.CancelCauseFunc

	mu sync.Mutex
	// sent is the generation that our own last patch gave a workload. What the
	// watch tells of an earlier one is out of date.
	sent   map[Environment]int64
	clocks map[Environment]progressClock
}

// progressClock tells for how long nothing has moved.
type progressClock struct {
	at    string // how far it was
	since time.Time
}

// handle has what the cluster tells lead to looks at environments.
func (l *leader) handle() error {
	workloads := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.changed(obj) },
		UpdateFunc: func(_, obj any) { l.changed(obj) },
		DeleteFunc: func(obj any) { l.changed(obj) },
	}
	pods := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.podChanged(obj) },
		UpdateFunc: func(_, obj any) { l.podChanged(obj) },
		DeleteFunc: func(obj any) { l.podChanged(obj) },
	}
	for _, informer := range slices.Concat(slices.Collect(maps.Values(l.cluster.workloads))...) {
		if _, err := informer.AddEventHandler(workloads); err != nil {
			return err
		}
	}
	for _, informer := range l.cluster.pods {
		if _, err := informer.AddEventHandler(pods); err != nil {
			return err
		}
	}
	return nil
}

func (l *leader) changed(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	w := view(obj)
	if w == nil {
		return
	}
	if a, err := w.adopted(); a != nil || err != nil || l.book.entry(w.Environment).standing != nil {
		l.queue.Add(w.Environment)
	}
}

// podChanged matters while a rollout is under way.
func (l *leader) podChanged(obj any) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if e, ok := owner(pod); ok && l.book.entry(e).standing != nil {
		l.queue.Add(e)
	}
}

// longestWay is more steps than any way has that needs nobody else to act.
const longestWay = 8

// reconcile brings one environment as far as it can be brought now. A time
// other than 0 is when to look again if nothing happens.
func (l *leader) reconcile(ctx context.Context, e Environment) (again time.Duration, err error) {
	w := l.cluster.workload(e)
	if w == nil {
		return 0, l.gone(ctx, e, "the workload was deleted")
	}
	adoption, fault := w.adopted()
	if adoption == nil {
		return 0, l.gone(ctx, e, "the workload is not an environment any more")
	}
	url, known := l.repository(adoption)
	if fault == nil && !known {
		fault = fmt.Errorf("%s is %q: take one of %s", RepositoryAnnotation, adoption.repository, strings.Join(slices.Sorted(maps.Keys(l.Repositories)), ", "))
	}
	if fault != nil {
		return 0, l.observe(ctx, Standing{Environment: e, UID: w.uid, Track: w.annotations[TrackAnnotation], State: Faulty, Reason: fault.Error()})
	}
	for range longestWay {
		if l.outOfDate(w) {
			return 0, nil // the watch is about to tell more
		}
		found := l.book.entry(e)
		goal, waiting, err := l.target(ctx, w, adoption, url, found)
		if err != nil {
			l.Log.Warn("cannot read releases", "environment", e, "error", err)
			return 0, err
		}
		f := facts{
			workload: w, adoption: adoption, target: goal, last: found.last,
			resumed: found.standing != nil && found.standing.Resumed,
		}
		f.trouble = worst(l.podsWith(w, adoption))
		f.still = l.still(f)
		s := decide(f)
		after, moved, err := l.do(ctx, &f, s)
		if err != nil {
			return 0, err
		}
		if moved {
			w = f.workload
			continue
		}
		standing := f.standing(waiting)
		standing.Repository = url
		// What was to be resumed is, once there is nothing that it could mean.
		standing.Resumed = standing.Resumed && standing.State != Healthy
		return after, l.observe(ctx, standing)
	}
	return time.Second, nil
}

// repository finds the URL of an adoption's repository.
func (l *leader) repository(a *adoption) (url string, known bool) {
	if url, known = l.Repositories[a.repository]; known {
		return url, true
	}
	if a.repository == "" && len(l.Repositories) == 1 {
		for _, url := range l.Repositories {
			return url, true
		}
	}
	return "", false
}

// outOfDate reports whether a workload was read before our own last patch.
func (l *leader) outOfDate(w *workload) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.generation >= l.sent[w.Environment] {
		delete(l.sent, w.Environment)
		return false
	}
	return true
}

// target is what an environment should run: what it is pinned to, or the newest
// release. waiting says why there is none.
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
		return t, "", nil
	}
	release, err := l.book.newest(ctx, l.Store, url, a.track)
	if err != nil {
		return nil, "", err
	}
	if release == nil {
		return nil, fmt.Sprintf("no run of %s has made images yet", a.track), nil
	}
	t := &target{repository: url, ref: release.Ref, commit: release.Commit, run: release.Run, images: Images{}}
	for container := range now {
		image, ok := release.Images[a.layers[container]]
		if !ok {
			return nil, fmt.Sprintf("%s has no image of layer %s", release.Commit.Short(), a.layers[container]), nil
		}
		t.images[container] = l.Registry + "/" + image
	}
	return t, "", nil
}

// podsWith are the pods that run what the workload is to run now.
func (l *leader) podsWith(w *workload, a *adoption) []*corev1.Pod {
	now := w.managed(a)
	return slices.DeleteFunc(l.cluster.podsOf(w.Environment), func(p *corev1.Pod) bool {
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			if image, ok := now[c.Name]; ok && image != c.Image {
				return true
			}
		}
		return false
	})
}

// still is for how long a rollout has not moved, by our own clock.
func (l *leader) still(f facts) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.last == nil || f.last.State != Rolling && f.last.State != RollingBack {
		delete(l.clocks, f.workload.Environment)
		return 0
	}
	at := fmt.Sprint(f.last.ID, f.last.State, f.workload.generation, f.workload.progress.line)
	clock := l.clocks[f.workload.Environment]
	if clock.at != at {
		clock = progressClock{at, l.Now()}
		l.clocks[f.workload.Environment] = clock
	}
	return l.Now().Sub(clock.since)
}

// do takes a step. moved is true if there may be another at once.
func (l *leader) do(ctx context.Context, f *facts, s step) (again time.Duration, moved bool, err error) {
	e := f.workload.Environment
	if s.begin != nil {
		begun, err := l.Store.Begin(ctx, *s.begin)
		if err != nil {
			l.Log.Warn("cannot record a rollout", "environment", e, "error", err)
			return 0, false, err
		}
		l.book.setLast(begun)
		l.Log.Info("rollout", "environment", e, "rollout", begun.ID, "commit", begun.Commit.Short(), "pinned", begun.Pinned)
		return 0, true, nil
	}
	if s.admit {
		if reason := l.admit(ctx, f); reason != "" {
			return 0, false, l.advance(ctx, f, Held, reason)
		}
	}
	if s.patch != nil {
		if err := l.patch(ctx, f, s.patch); err != nil {
			return 0, false, l.refused(ctx, f, err)
		}
	}
	if s.to == "" {
		return 0, s.patch != nil, l.tidy(ctx, f)
	}
	if s.to == Rolling || s.to == RollingBack {
		again = f.deadlineIn()
		if f.trouble.unplaced {
			if err := l.makeWay(ctx, f); err != nil {
				return 0, false, l.refused(ctx, f, err)
			}
		}
	}
	before := f.last.State
	if err := l.advance(ctx, f, s.to, s.reason); err != nil {
		return 0, false, err
	}
	return again, before != s.to || s.patch != nil, nil
}

// deadlineIn is when a rollout that does not move is to be looked at again.
func (f facts) deadlineIn() time.Duration {
	deadline := f.adoption.deadline
	if deadline == 0 {
		deadline = f.workload.deadline
	}
	left := deadline - f.still
	if f.workload.progress.failed != "" {
		left = settleTime - f.still
	}
	return max(left, 0) + 10*time.Millisecond
}

// advance records where the last rollout stands, if that is news.
func (l *leader) advance(ctx context.Context, f *facts, to State, reason string) error {
	if f.last.State == to && f.last.Reason == reason {
		return nil
	}
	now, err := l.Store.Advance(ctx, *f.last, to, reason)
	if err != nil {
		l.Log.Warn("cannot record how a rollout goes", "environment", f.workload.Environment, "error", err)
		return err
	}
	if f.last.State != to {
		l.Log.Info("rollout is "+string(to), "environment", now.Environment, "rollout", now.ID, "commit", now.Commit.Short(), "reason", reason)
	}
	f.last = &now
	l.book.setLast(now)
	return nil
}

// refused records why the API server did not do as asked; it is asked again.
func (l *leader) refused(ctx context.Context, f *facts, err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return err // it was changed meanwhile: the watch tells
	}
	problem := problemOf(err)
	if f.last != nil && !f.last.State.Final() {
		if f.last.Reason != problem {
			l.Log.Warn("the API server refuses a rollout for now", "environment", f.workload.Environment, "problem", problem)
		}
		if err := l.advance(ctx, f, f.last.State, problem); err != nil {
			return err
		}
		if err := l.observe(ctx, f.standing("")); err != nil {
			return err
		}
	} else {
		l.Log.Warn("the API server refuses a change for now", "environment", f.workload.Environment, "problem", problem)
	}
	return err
}

// patch gives the workload images, in a way that its devices leave room for.
func (l *leader) patch(ctx context.Context, f *facts, images Images) error {
	if err := l.makeWay(ctx, f); err != nil {
		return err
	}
	w, err := apply(ctx, l.Client, f.workload, imageManager, imagePatch(f.workload, images, *f.last, l.Now()))
	if err != nil {
		return err
	}
	l.took(f, w)
	return nil
}

// took notes what a patch made of the workload.
func (l *leader) took(f *facts, w *workload) {
	f.workload = w
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[w.Environment] = w.generation
}

// makeWay has old pods go first where no device is free for new ones.
func (l *leader) makeWay(ctx context.Context, f *facts) error {
	if !f.workload.strategy.rolling || f.workload.strategy.surgePods == 0 {
		return nil
	}
	nodes, pods := listed[*corev1.Node](l.cluster.nodes), listed[*corev1.Pod](l.cluster.pods...)
	if len(l.Namespaces) > 0 {
		nodes = nil // pods of other namespaces are not seen: what is free is not known
	}
	way, why := f.workload.way(nodes, pods, f.trouble.unplaced)
	if way != NoSurge {
		return nil
	}
	patch, err := noSurgePatch(f.workload)
	if err != nil {
		return err
	}
	w, err := apply(ctx, l.Client, f.workload, strategyManager, patch)
	if err != nil {
		return err
	}
	l.Log.Info("old pods go before new ones come", "environment", w.Environment, "why", why)
	l.took(f, w)
	return nil
}

// tidy gives the workload its own strategy back once nothing is under way.
func (l *leader) tidy(ctx context.Context, f *facts) error {
	if _, ours := f.workload.annotations[strategyAnnotation]; !ours || f.last != nil && !f.last.State.Final() {
		return nil
	}
	w, err := restoreStrategy(ctx, l.Client, f.workload)
	if err != nil {
		return l.refused(ctx, f, err)
	}
	l.took(f, w)
	return nil
}

// admit says why a rollout may not begin now; empty if it may.
func (l *leader) admit(ctx context.Context, f *facts) string {
	return ""
}

// observe records where an environment stands, if that is news.
func (l *leader) observe(ctx context.Context, s Standing) error {
	if was := l.book.entry(s.Environment).standing; was != nil && reflect.DeepEqual(*was, s) {
		return nil
	}
	if err := l.Store.Observe(ctx, s); err != nil {
		l.Log.Warn("cannot record where an environment stands", "environment", s.Environment, "error", err)
		return err
	}
	l.book.setStanding(s)
	return nil
}

// gone records that an environment is no more.
func (l *leader) gone(ctx context.Context, e Environment, reason string) error {
	if l.book.entry(e).standing == nil {
		return nil
	}
	if err := l.Store.Gone(ctx, e, reason); err != nil {
		l.Log.Warn("cannot record that an environment is gone", "environment", e, "error", err)
		return err
	}
	l.Log.Info("environment is gone", "environment", e, "why", reason)
	l.book.forget(e)
	return nil
}
