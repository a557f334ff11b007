package deploy

import (
	"cmp"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	turns   *turns
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
	_, err := l.cluster.nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.nodeChanged(nil, obj) },
		UpdateFunc: func(was, obj any) { l.nodeChanged(was, obj) },
	})
	return err
}

// nodeChanged has what is held looked at again where a node has become another.
// Its signs of life are no change.
func (l *leader) nodeChanged(was, obj any) {
	before, _ := was.(*corev1.Node)
	now, ok := obj.(*corev1.Node)
	if !ok || before != nil && reflect.DeepEqual(before.Labels, now.Labels) && reflect.DeepEqual(before.Annotations, now.Annotations) &&
		reflect.DeepEqual(before.Spec, now.Spec) && reflect.DeepEqual(before.Status.Allocatable, now.Status.Allocatable) && ready(before) == ready(now) {
		return
	}
	for _, e := range l.book.waiting() {
		l.queue.Add(e)
	}
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
	if last := l.book.entry(e).last; last != nil && (last.State == Rolling || last.State == RollingBack) && w.lasting() {
		l.turns.has(e)
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
		with, others := l.pods(w, adoption)
		f.trouble, f.others = worst(with), others
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
	s, ok := l.sent[w.Environment]
	return ok && s.uid == w.uid && w.generation < s.generation
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

// pods are those that run what the workload is to run now, and how many others
// it still has.
func (l *leader) pods(w *workload, a *adoption) (with []*corev1.Pod, others int) {
	now := w.managed(a)
	for _, p := range l.cluster.podsOf(w.Environment) {
		differs := func(c corev1.Container) bool {
			image, ok := now[c.Name]
			return ok && image != c.Image
		}
		switch {
		case !slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), differs):
			with = append(with, p)
		case p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
			others++
		}
	}
	return with, others
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
		if f.last != nil && !f.last.State.Final() {
			l.ended(*f.last) // superseded
		}
		l.book.resumed(begun.Environment)
		l.book.setLast(begun)
		l.Log.Info("rollout", "environment", e, "rollout", begun.ID, "commit", begun.Commit.Short(), "pinned", begun.Pinned)
		return 0, true, nil
	}
	if s.admit {
		reason, until, err := l.admit(ctx, f)
		if err != nil {
			return 0, false, err
		}
		if reason != "" {
			if !until.IsZero() {
				again = max(until.Sub(l.Now()), 0) + 10*time.Millisecond
			}
			return again, false, l.advance(ctx, f, Held, reason)
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
		if s.to == RollingBack && f.last.State == RollingBack && s.patch == nil {
			if err := l.unstick(ctx, f); err != nil {
				return 0, false, l.refused(ctx, f, err)
			}
		}
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

// deadlineIn is when a rollout that does not move is to be looked at again; 0 is
// never.
func (f facts) deadlineIn() time.Duration {
	deadline := cmp.Or(f.adoption.deadline, f.workload.deadline)
	if deadline == 0 || f.workload.strategy.onDelete {
		return 0
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
	if now.State.Final() {
		l.ended(now)
	}
	return nil
}

// refused records why the API server did not do as asked; it is asked again.
func (l *leader) refused(ctx context.Context, f *facts, err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return err // it was changed meanwhile: the watch tells
	}
	problem := Problem(err)
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
	l.sent[w.Environment] = sent{w.uid, w.generation}
}

// makeWay has old pods go first where no device is free for new ones.
func (l *leader) makeWay(ctx context.Context, f *facts) error {
	if !f.workload.strategy.rolling || f.workload.strategy.surgePods == 0 {
		return nil
	}
	nodes, pods := listed[*corev1.Node](l.cluster.nodes), listed[*corev1.Pod](l.cluster.pods...)
	if !l.cluster.allPods {
		nodes = nil // what is free is not known
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

// unstick removes the pods that never became ready of a StatefulSet that goes
// back: its controller waits for them for ever before it replaces them.
func (l *leader) unstick(ctx context.Context, f *facts) error {
	if f.workload.Kind != StatefulSet || f.workload.strategy.onDelete {
		return nil
	}
	failed := f.last.goal(to)
	for _, pod := range l.cluster.podsOf(f.workload.Environment) {
		if pod.DeletionTimestamp != nil || podReady(pod) || !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return failed[c.Name] == c.Image }) {
			continue
		}
		only := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}
		if err := l.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, only); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		l.Log.Info("removed a pod that never became ready", "environment", f.workload.Environment, "pod", pod.Name)
	}
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
	last := l.book.entry(e).last
	l.book.forget(e)
	if last != nil {
		l.ended(*last)
	}
	return nil
}
