package deploy

import (
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/lab-layers/lab-layers/deploy/pull"
)

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
		DeleteFunc: l.nodeGone,
	})
	return err
}

// nodeChanged has what is not at its end looked at again where a node has become
// another, and all where it may take other pods, or has other images of theirs. Its
// signs of life are no change.
func (l *leader) nodeChanged(was, obj any) {
	before, _ := was.(*corev1.Node)
	now, ok := obj.(*corev1.Node)
	switch {
	case !ok:
	case before == nil, ready(before) != ready(now), !reflect.DeepEqual(before.Labels, now.Labels), !reflect.DeepEqual(before.Spec, now.Spec),
		!reflect.DeepEqual(before.Status.Allocatable, now.Status.Allocatable):
		l.lookAtKnown()
	case !reflect.DeepEqual(before.Annotations, now.Annotations):
		l.lookAtWaiting()
	default:
		for _, e := range l.book.with(moved(before, now)) {
			l.queue.Add(e)
		}
	}
}

// nodeGone has all looked at again, as pods may have gone with the node.
func (l *leader) nodeGone(obj any) {
	if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
		l.holdings.drop(name)
	}
	l.lookAtKnown()
}

// lookAtWaiting has those looked at whose rollouts have not begun.
func (l *leader) lookAtWaiting() {
	for _, e := range l.book.in(Pending, Held) {
		l.queue.Add(e)
	}
}

// lookAtKnown has all looked at that are recorded.
func (l *leader) lookAtKnown() {
	for _, e := range l.book.known() {
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
	if asks(w.annotations) || l.book.entry(w.Environment).standing != nil {
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
	if e, ok := puller(pod); ok {
		l.pulls.leave(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}) // the watch has it
		l.queue.Add(e)
		if state, _ := pull.Of(pod); state != pull.Going || pod.DeletionTimestamp != nil {
			l.lookAtWaiting() // it may be their turn
		}
	}
}
