package operator

import (
	"context"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A task that could not be taken on is tried again with growing pauses. They stay
// short: a quota of Jobs, or a name that was taken, is free again unnoticed.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Minute
)

// eventOf is the field of an event that has the uid of what it is about.
const eventOf = "involvedObject.uid"

// taskCache is what is watched of tasks: of pods and Jobs those that are made for
// them, of events those that say why a Job gets no pod.
func taskCache(ours labels.Selector, namespaces map[string]cache.Config) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		raw("LabTask"): {Namespaces: namespaces},
		&batchv1.Job{}: {Namespaces: namespaces, Label: ours},
		&corev1.Pod{}:  {Namespaces: namespaces, Label: ours},
		&corev1.Event{}: {Namespaces: namespaces, Field: fields.SelectorFromSet(fields.Set{
			"involvedObject.kind": "Job", "reason": "FailedCreate",
		})},
	}
}

func (o *Operator) makeTasks(ctx context.Context, m ctrl.Manager, namespaces []string) error {
	r := &tasks{
		Operator: o, client: m.GetClient(), live: m.GetAPIReader(), events: m.GetEventRecorder(lease),
		changed: make(changes), served: namespaces,
		hints: hints{records: o.Records, repositories: map[string]*hinted{}}, waiting: map[types.NamespacedName]bool{}, gone: map[types.NamespacedName][]*corev1.Pod{},
	}
	if err := m.GetFieldIndexer().IndexField(ctx, &corev1.Event{}, eventOf, func(obj client.Object) []string {
		e, ok := obj.(*corev1.Event)
		if !ok {
			return nil
		}
		return []string{string(e.InvolvedObject.UID)}
	}); err != nil {
		return err
	}
	if err := m.Add(manager.RunnableFunc(r.follow)); err != nil {
		return err
	}
	return builder.ControllerManagedBy(m).Named("labtask").For(raw("LabTask")).Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, r.podHandler()).
		Watches(&corev1.Event{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
			e, ok := obj.(*corev1.Event)
			if !ok {
				return nil
			}
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name}}}
		})).
		WatchesRawSource(r.changed.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(newSteady(r, o.Log, "LabTask"))
}

// podHandler has the task of a pod looked at. Of a pod that was deleted it keeps
// what it told at last.
func (r *tasks) podHandler() handler.Funcs {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	look := func(p client.Object, q queue) {
		q.Add(reconcile.Request{NamespacedName: taskOf(p)})
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { look(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { look(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if p, ok := e.Object.(*corev1.Pod); ok {
				r.mu.Lock()
				r.gone[taskOf(p)] = append(r.gone[taskOf(p)], p)
				r.mu.Unlock()
			}
			look(e.Object, q)
		},
	}
}

// taskOf is the task that a pod was made for.
func taskOf(p client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: p.GetNamespace(), Name: p.GetLabels()[taskLabel]}
}

// follow has tasks looked at that the records may say something new of, until the
// context ends: at first those that had not ended when they were last recorded,
// since they may have been deleted meanwhile; then those that have no image yet.
func (r *tasks) follow(ctx context.Context) error {
	reviewed := false
	return r.watchRecords(ctx, "LabTasks do not get images", func(ctx context.Context) error {
		if !reviewed {
			open, err := r.Records.OpenTasks(ctx)
			if err != nil {
				return err
			}
			for _, t := range open {
				if slices.Contains(r.served, t.Namespace) || slices.Contains(r.served, metav1.NamespaceAll) {
					r.changed.look(ctx, types.NamespacedName{Namespace: t.Namespace, Name: t.Name})
				}
			}
			reviewed = true
		}
		r.hints.renew()
		r.mu.Lock()
		var keys []types.NamespacedName
		for key := range r.waiting {
			keys = append(keys, key)
		}
		r.mu.Unlock()
		for _, key := range keys {
			r.changed.look(ctx, key)
		}
		return nil
	})
}
