package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gates"
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
	changed chan event.GenericEvent
	// served are the namespaces whose tasks are looked after; an empty name is all.
	served []string

	mu sync.Mutex
	// waiting are the tasks that have no image yet.
	waiting map[types.NamespacedName]bool
	// released is what the records have of tracks, since the last look.
	released map[string]there
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

// again is when a task is to be looked at in any case: nothing tells of Kueue.
func again(s standing) (result ctrl.Result) {
	if s.code == noKueue {
		result.RequeueAfter = time.Minute
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

// observe finds what the cluster has of a task. That there is no Job is sure. It
// returns errDeleted if there was one, and the task is gone, too.
func (r *tasks) observe(ctx context.Context, t *api.LabTask) (o observed, err error) {
	key := client.ObjectKeyFromObject(t)
	var j *batchv1.Job
	for _, from := range []client.Reader{r.client, r.live} {
		if j, err = find(ctx, from, key, &batchv1.Job{}, t); j != nil || err != nil {
			break
		}
	}
	if err != nil {
		return o, err
	}
	o.job = j
	if j == nil && t.Status.Job != "" {
		if err := r.there(ctx, t); err != nil {
			return o, err
		}
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(t.Namespace), client.MatchingLabels{taskLabel: t.Name}); err != nil {
		return o, err
	}
	r.mu.Lock()
	gone := r.gone[key]
	r.mu.Unlock()
	for i := range pods.Items {
		o.pods = append(o.pods, &pods.Items[i])
	}
	for _, p := range append(slices.Clone(o.pods), gone...) {
		if !slices.ContainsFunc(o.pods, func(o *corev1.Pod) bool { return o.UID == p.UID }) {
			o.pods = append(o.pods, p)
		}
	}
	of := types.UID(t.Status.Job)
	if j != nil {
		of = j.UID
	}
	o.pods = slices.DeleteFunc(o.pods, func(p *corev1.Pod) bool {
		owner := metav1.GetControllerOf(p)
		return owner == nil || owner.UID != of
	})
	slices.SortStableFunc(o.pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	if j != nil {
		o.refusal, err = r.refusal(ctx, j)
		o.noKueue = t.Spec.Queue != "" && suspended(j) && r.kueueIsMissing()
	}
	if n := len(o.pods); n > 0 && unschedulable(o.pods[n-1]) {
		o.short = r.short(ctx, t.Spec.GPU)
	}
	return o, err
}

// kueueIsMissing reports whether the API server is known to serve no queues.
func (r *tasks) kueueIsMissing() bool {
	_, err := r.client.RESTMapper().RESTMapping(schema.GroupKind{Group: "kueue.x-k8s.io", Kind: "LocalQueue"})
	return meta.IsNoMatchError(err)
}

// short says how all nodes fall short of some GPUs; empty if they do not, or nodes
// cannot be read.
func (r *tasks) short(ctx context.Context, g *api.Devices) string {
	if g == nil || g.Memory == nil && g.ComputeCapability == "" {
		return ""
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	if err := r.live.List(ctx, &list); err != nil {
		return "" // it is a right that other parts tell of
	}
	var nodes []*corev1.Node
	for _, n := range list.Items {
		nodes = append(nodes, &corev1.Node{ObjectMeta: n.ObjectMeta})
	}
	return gates.Short(g.Memory, g.ComputeCapability, nodes)
}

// there returns errDeleted if the API server, past the cache, has a task no more.
func (r *tasks) there(ctx context.Context, t *api.LabTask) error {
	u := raw("LabTask")
	err := r.live.Get(ctx, client.ObjectKeyFromObject(t), u)
	if apierrors.IsNotFound(err) || err == nil && (u.GetUID() != t.UID || u.GetDeletionTimestamp() != nil) {
		return errDeleted
	}
	return err
}

// refusal is the last reason why no pod could be made of a Job.
func (r *tasks) refusal(ctx context.Context, j *batchv1.Job) (string, error) {
	var list corev1.EventList
	if err := r.client.List(ctx, &list, client.InNamespace(j.Namespace), client.MatchingFields{eventOf: string(j.UID)}); err != nil {
		return "", err
	}
	var last corev1.Event
	for _, e := range list.Items {
		if !e.LastTimestamp.Before(&last.LastTimestamp) {
			last = e
		}
	}
	return last.Message, nil
}

// record is what is recorded of a task with a status.
func (r *tasks) record(t *api.LabTask, is *api.LabTaskStatus) deploy.Task {
	record := deploy.Task{
		Namespace: t.Namespace, Name: t.Name, UID: string(t.UID), User: t.Spec.User, Repository: r.url(t.Spec.Repository),
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
