package deploy

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// do takes a step. moved is true if there may be another at once.
func (l *leader) do(ctx context.Context, f *facts, s step) (again time.Duration, moved bool, err error) {
	if s.corrects {
		l.corrections.made(f.workload.Environment, l.Now())
		l.Log.Warn("what somebody set is replaced", "environment", f.workload.Environment, "drift", f.drift())
	}
	if s.begin != nil {
		err := l.begin(ctx, f, *s.begin)
		return 0, err == nil, err
	}
	if s.admit {
		held, err := l.admit(ctx, f)
		if err != nil {
			return 0, false, err
		}
		if held.Reason != "" {
			if !held.Until.IsZero() {
				again = max(held.Until.Sub(l.Now()), 0) + 10*time.Millisecond
			}
			return again, false, l.hold(ctx, f, held)
		}
	}
	if s.hold != nil {
		return 0, false, l.hold(ctx, f, *s.hold)
	}
	if s.patch != nil {
		if err := l.patch(ctx, f, s.patch); err != nil {
			return 0, false, l.refused(ctx, f, err)
		}
	}
	if s.to == "" {
		return 0, s.patch != nil, l.tidy(ctx, f)
	}
	if s.to.underWay() {
		again = f.deadlineIn()
		if err := l.tend(ctx, f, s); err != nil {
			return 0, false, l.refused(ctx, f, err)
		}
	}
	before := f.last.State
	if err := l.advance(ctx, f, s.to, s.reason); err != nil {
		return 0, false, err
	}
	return again, before != s.to || s.patch != nil, nil
}

// cannot tells what the records did not do for an environment, but for what is given up
// as this engine ends.
func (l *leader) cannot(ctx context.Context, what string, e Environment, err error) {
	if ctx.Err() == nil {
		l.Log.Warn("cannot "+what, "environment", e, "error", err)
	}
}

// begin records a rollout that is to begin.
func (l *leader) begin(ctx context.Context, f *facts, r Rollout) error {
	begun, err := l.Store.Begin(ctx, r)
	if err != nil {
		l.cannot(ctx, "record a rollout", r.Environment, err)
		return err
	}
	if f.last != nil && !f.last.State.Final() {
		l.superseded(*f.last)
	}
	l.book.resumed(begun.Environment)
	l.book.setLast(begun)
	args := []any{"environment", begun.Environment, "rollout", begun.ID, "commit", begun.Commit.Short(), "pinned", begun.Pinned}
	if begun.Cause != "" {
		args = append(args, "cause", begun.Cause)
	}
	l.Log.Info("rollout", args...)
	return nil
}

// tend does what a rollout under way needs beside its patch.
func (l *leader) tend(ctx context.Context, f *facts, s step) error {
	if f.lost && f.still >= f.deadline() {
		l.letOthers(f, time.Time{})
	}
	if s.to == RollingBack && f.last.State == RollingBack && s.patch == nil {
		if err := l.unstick(ctx, f); err != nil {
			return err
		}
	}
	if f.trouble.unplaced {
		return l.makeWay(ctx, f)
	}
	return nil
}

// deadline is how long a rollout may make no progress; 0 is for ever.
func (f facts) deadline() time.Duration {
	return cmp.Or(f.adoption.deadline, f.workload.deadline)
}

// deadlineIn is when a rollout that does not move is to be looked at again; 0 is
// never.
func (f facts) deadlineIn() time.Duration {
	deadline := f.deadline()
	if deadline == 0 || f.workload.strategy.onDelete || f.lost && f.still >= deadline {
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
	return l.advanceBy(ctx, f, to, reason, "")
}

// advanceBy records which gate holds it, too.
func (l *leader) advanceBy(ctx context.Context, f *facts, to State, reason, gate string) error {
	r := *f.last
	if r.State == to && r.Reason == reason && r.Gate == gate {
		return nil
	}
	r.Gate = gate
	now, err := l.Store.Advance(ctx, r, to, reason)
	if err != nil {
		l.cannot(ctx, "record how a rollout goes", f.workload.Environment, err)
		return err
	}
	if f.last.State != to && to != Held { // see hold
		l.Log.Info("rollout is "+string(to), "environment", now.Environment, "rollout", now.ID, "commit", now.Commit.Short(), "reason", reason)
	}
	began := f.last.Started.IsZero() && !now.Started.IsZero()
	f.last = &now
	l.book.setLast(now)
	if began {
		l.Progress.began(now)
	}
	if now.State.Final() {
		l.ended(now)
	}
	return nil
}

// hold records what keeps a rollout from beginning, and tells of it if something
// else did before. What was held for the same reason before this process led is no
// news.
func (l *leader) hold(ctx context.Context, f *facts, by Hold) error {
	was := *f.last
	if err := l.advanceBy(ctx, f, Held, by.Reason, by.passable()); err != nil {
		return err
	}
	now := *f.last
	if !l.heldBy.news(now, by) || was.State == Held && was.Reason == now.Reason {
		return nil
	}
	l.Progress.held(now, by)
	args := []any{"environment", now.Environment, "rollout", now.ID, "commit", now.Commit.Short(), "gate", by.Gate, "reason", now.Reason}
	switch {
	case !by.Passes():
		l.Log.Warn("rollout is held", append(args, "remedy", by.remedy(now.Environment))...)
	case by.Until.IsZero():
		l.Log.Info("rollout is held", args...)
	default:
		l.Log.Info("rollout is held", append(args, "until", by.Until.UTC().Format(time.RFC3339))...)
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
		if err := l.advanceBy(ctx, f, f.last.State, problem, f.last.Gate); err != nil {
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
	commit, run := f.origin(images)
	w, err := apply(ctx, l.Client, f.workload, imageManager, imagePatch(f.workload, images, commit, run, l.Now()))
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
		if pod.DeletionTimestamp != nil || podReady(pod) || !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return sameImage(failed[c.Name], c.Image) }) {
			continue
		}
		if err := l.removePod(ctx, pod); err != nil {
			return err
		}
		l.Log.Info("removed a pod that never became ready", "environment", f.workload.Environment, "pod", pod.Name)
	}
	return nil
}

// removePod removes a pod. One that is gone already, or is another's of that name by
// now, is no error.
func (l *leader) removePod(ctx context.Context, pod *corev1.Pod) error {
	only := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	err := l.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, only)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("remove pod %s/%s: %w", pod.Namespace, pod.Name, err)
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
	if was := l.book.entry(s.Environment).standing; was != nil {
		if s.Commit == "" && was.UID == s.UID && slices.Equal(was.Images, s.Images) {
			s.Commit = was.Commit // it still runs that, whatever it waits for
		}
		if reflect.DeepEqual(*was, s) {
			return nil
		}
	}
	if err := l.Store.Observe(ctx, s); err != nil {
		l.cannot(ctx, "record where an environment stands", s.Environment, err)
		return err
	}
	was := l.book.entry(s.Environment).standing
	l.book.setStanding(s)
	l.tellOf(s, was)
	return nil
}

// tellOf logs where an environment has come to stand, if somebody has to act there.
func (l *leader) tellOf(s Standing, was *Standing) {
	stood := func(state State) bool { return was != nil && was.State == state }
	if stood(s.State) && was.Reason == s.Reason {
		return
	}
	switch {
	case s.State == Faulty:
		l.Log.Warn("environment is faulty", "environment", s.Environment, "reason", s.Reason, "remedy", "mend its annotations: it gets no release meanwhile")
	case s.State == Drifted:
		l.Log.Warn("environment has drifted", "environment", s.Environment, "reason", s.Reason,
			"remedy", "leave the image out of what sets it, and have it follow releases again: lab-layers resume "+s.Environment.String())
	case stood(Faulty):
		l.Log.Info("environment is not faulty any more", "environment", s.Environment)
	}
}

// overlook records that an environment is not seen by this engine. What is known
// of it stays, its pin too.
func (l *leader) overlook(ctx context.Context, e Environment, why string) error {
	was := l.book.entry(e).standing
	if was == nil {
		return nil
	}
	now := *was
	now.Reason = why
	return l.observe(ctx, now)
}

// gone records that an environment is no more.
func (l *leader) gone(ctx context.Context, e Environment, reason string) error {
	if l.book.entry(e).standing == nil {
		return nil
	}
	if err := l.Store.Gone(ctx, e, reason); err != nil {
		l.cannot(ctx, "record that an environment is gone", e, err)
		return err
	}
	l.Log.Info("environment is gone", "environment", e, "why", reason)
	last := l.book.entry(e).last
	l.forget(e)
	if last != nil && !last.State.Final() {
		l.superseded(*last)
	}
	return nil
}

// forget lets go of all that is kept of an environment that is no more.
func (l *leader) forget(e Environment) {
	l.book.forget(e)
	l.corrections.forget(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sent, e)
	delete(l.clocks, e)
}
