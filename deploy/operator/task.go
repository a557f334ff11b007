package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// tasks make Jobs of LabTasks, and tell and record where they stand.
type tasks struct {
	*Operator
	client client.Client
	// live reads past the cache, which may be late, and has only what is ours.
	live    client.Reader
	events  events.EventRecorder
	changed changes
	// served are the namespaces whose tasks are looked after; an empty name is all.
	served []string
	hints  hints
	// noKueue and nodes are what waiting tasks ask the cluster.
	noKueue shared[bool]
	nodes   shared[[]*corev1.Node]

	mu sync.Mutex
	// waiting are the tasks that have no image yet.
	waiting map[types.NamespacedName]bool
	// gone are the pods of tasks that have not ended which were deleted, as they
	// were at last.
	gone map[types.NamespacedName][]*corev1.Pod
}

// errDeleted is returned of a task whose deletion is still to be heard: the cluster
// deletes its Job then, and may tell that first.
var errDeleted = errors.New("the task was deleted")

// Reconcile takes one LabTask on, and tells and records where it stands.
func (r *tasks) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	key := request.NamespacedName
	t, unreadable, err := r.read(ctx, key)
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, r.deleted(ctx, key)
	case err != nil:
		return ctrl.Result{}, err
	case t.DeletionTimestamp != nil:
		return ctrl.Result{}, nil
	case stateOf(&t.Status).Final():
		r.forget(key)
		return r.expire(ctx, t)
	}
	is := *t.Status.DeepCopy()
	var s standing
	switch {
	case unreadable != nil:
		s = standing{deploy.TaskFailed, "Invalid", printable(unreadable.Error(), maxReason)}
	case is.Digest == "":
		if s, err = r.pin(ctx, t, &is); err != nil {
			return ctrl.Result{}, err // there is nothing to tell without the records
		}
	default:
		o, unsure := r.observe(ctx, t)
		switch {
		case errors.Is(unsure, errDeleted):
			return ctrl.Result{}, nil
		case errors.As(unsure, new(taken)):
			s, err = standing{deploy.TaskQueued, "NameTaken", unsure.Error()}, unsure
		case unsure != nil:
			return ctrl.Result{}, unsure
		default:
			s, err = r.run(ctx, t, &is, o)
		}
	}
	r.mu.Lock()
	if is.Digest == "" && !s.state.Final() {
		r.waiting[key] = true
	} else {
		delete(r.waiting, key)
	}
	r.mu.Unlock()
	s.tell(t, &is)
	if equality.Semantic.DeepEqual(t.Status, is) {
		return again(s), err
	}
	// The record comes first: what is told was recorded, and clean-up keeps an image
	// before anything is made of it.
	if recording := r.Records.RecordTask(ctx, r.record(t, &is)); recording != nil {
		return ctrl.Result{}, errors.Join(err, recording)
	}
	told := &api.LabTask{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name, ResourceVersion: t.ResourceVersion}, Status: is}
	if telling := applyStatus(ctx, r.client, told); telling != nil {
		return ctrl.Result{}, errors.Join(err, client.IgnoreNotFound(telling))
	}
	if is.State != t.Status.State && s.state != deploy.TaskEnding { // of which the end is told
		r.tell(t, s)
	}
	return again(s), err
}

// again is when a task is to be looked at in any case: nothing tells of Kueue, nor of
// nodes. Many wait for the same, so they are not looked at all at once.
func again(s standing) (result ctrl.Result) {
	switch s.code {
	case noKueue:
		result.RequeueAfter = wait.Jitter(kueueAge, 0.5)
	case corev1.PodReasonUnschedulable:
		result.RequeueAfter = wait.Jitter(nodesAge, 0.5)
	}
	return result
}

// read reads a task. What the API server took, and these types do not, is
// unreadable: such a one harms nobody but itself, as it would where all were
// decoded together.
func (r *tasks) read(ctx context.Context, key types.NamespacedName) (t *api.LabTask, unreadable, err error) {
	u := raw("LabTask")
	if err := r.client.Get(ctx, key, u); err != nil {
		return nil, nil, err
	}
	t = &api.LabTask{}
	if err := decode(u, t); err != nil {
		t.Spec = api.LabTaskSpec{}
		t.Spec.User, _, _ = unstructured.NestedString(u.Object, "spec", "user")
		t.Spec.Layer, _, _ = unstructured.NestedString(u.Object, "spec", "layer")
		return t, err, nil
	}
	return t, nil, nil
}

// run has a task's Job made, once, and says how it fares.
func (r *tasks) run(ctx context.Context, t *api.LabTask, is *api.LabTaskStatus, o observed) (s standing, err error) {
	switch {
	case o.job != nil:
	case is.Job != "":
		s = standing{deploy.TaskFailed, "JobDeleted", "somebody deleted its Job"}
		stamp(t, is, s, o)
		return s, nil
	default:
		o.job, err = r.make(ctx, t)
	}
	switch {
	case err == nil:
	case apierrors.IsInvalid(err):
		return standing{deploy.TaskFailed, "Invalid", printable(err.Error(), maxReason)}, nil
	default:
		return standing{deploy.TaskQueued, "NotMade", printable(deploy.Problem(err), maxReason)}, err
	}
	is.Job = string(o.job.UID)
	s = taskStanding(t, o)
	stamp(t, is, s, o)
	return s, nil
}

// make makes a task's Job.
func (r *tasks) make(ctx context.Context, t *api.LabTask) (*batchv1.Job, error) {
	j := job(t)
	if err := r.client.Create(ctx, j, client.FieldOwner(fieldManager)); err != nil {
		return nil, fmt.Errorf("make Job %s/%s: %w", t.Namespace, t.Name, err)
	}
	return j, nil
}

// record is what is recorded of a task with a status.
func (r *tasks) record(t *api.LabTask, is *api.LabTaskStatus) deploy.Task {
	url, _ := r.Repositories.URL(t.Spec.Repository)
	record := deploy.Task{
		Namespace: t.Namespace, Name: t.Name, UID: string(t.UID), User: t.Spec.User, Repository: url,
		Layer: layers.Name(t.Spec.Layer), Track: track(t), Digest: digest.Digest(is.Digest), Ref: layers.Ref(is.Ref), Commit: layers.Commit(is.Commit),
		Run: is.Run, Queue: t.Spec.Queue, State: stateOf(is), Reason: is.Reason, Attempts: is.Attempts, TaskTimes: times(t, is),
	}
	if t.Spec.GPU != nil {
		record.GPUs = t.Spec.GPU.Count
	}
	return record
}

// deleted records that there is no task of a name any more, and when the programs
// of those that there were ended.
func (r *tasks) deleted(ctx context.Context, key types.NamespacedName) error {
	if err := r.Records.TaskGone(ctx, key.Namespace, key.Name); err != nil {
		return err
	}
	r.mu.Lock()
	gone := r.gone[key]
	r.mu.Unlock()
	for _, p := range gone {
		_, end := programTimes(p)
		if uid := p.Annotations[taskUID]; uid != "" && !end.IsZero() {
			if err := r.Records.TaskEnds(ctx, key.Namespace, uid, end); err != nil {
				return err
			}
		}
	}
	r.forget(key)
	return nil
}

// forget lets go of what is remembered of a task.
func (r *tasks) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, key)
	delete(r.gone, key)
}

// expire deletes a task that has been kept for long enough after its end.
func (r *tasks) expire(ctx context.Context, t *api.LabTask) (ctrl.Result, error) {
	ttl, ok := duration(t.Spec.TTL)
	if !ok {
		return ctrl.Result{}, nil
	}
	end := times(t, &t.Status).Released
	for _, c := range t.Status.Conditions {
		if end.IsZero() && c.Status == metav1.ConditionTrue && (c.Type == api.Complete || c.Type == api.Failed) {
			end = c.LastTransitionTime.Time
		}
	}
	if left := time.Until(end.Add(ttl)); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	background := metav1.DeletePropagationBackground
	err := r.client.Delete(ctx, t, &client.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &t.UID}})
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// tell makes an event of a task that has come to stand elsewhere.
func (r *tasks) tell(t *api.LabTask, s standing) {
	kind := corev1.EventTypeNormal
	if s.state == deploy.TaskFailed {
		kind = corev1.EventTypeWarning
	}
	text := s.reason
	switch {
	case text != "":
	case s.state == deploy.TaskSucceeded:
		text = "it has ended well"
	default:
		text = "it is " + string(s.state)
	}
	r.events.Eventf(t, nil, kind, s.code, "Task", "%s", text)
}
