package operator

import (
	"context"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// observed is what the cluster has of a task.
type observed struct {
	job *batchv1.Job
	// pods are the oldest first, those that are gone included.
	pods []*corev1.Pod
	// refusal is why no pod can be made; empty if that is not known.
	refusal string
	// shortage says how all nodes fall short of the GPUs that it asks for; empty if that
	// is not what it waits for, or not known.
	shortage string
	// noKueue is true if it is to wait in a queue, and there is nobody to let it go.
	noKueue bool
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
	for _, p := range gone {
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
		o.shortage = r.shortage(ctx, t.Spec.GPU)
	}
	return o, err
}

// What all waiting tasks want to know of the cluster is at most so old.
const (
	kueueAge = time.Minute
	nodesAge = 30 * time.Second
)

// kueueIsMissing reports whether the API server is known to serve no queues. The
// client keeps only what there is: of what is missing it asks for all that is served.
func (r *tasks) kueueIsMissing() bool {
	return r.noKueue.get(time.Now(), kueueAge, func() bool {
		_, err := r.client.RESTMapper().RESTMapping(schema.GroupKind{Group: "kueue.x-k8s.io", Kind: "LocalQueue"})
		return meta.IsNoMatchError(err)
	})
}

// shortage says how all nodes fall short of some GPUs; empty if they do not, or nodes
// cannot be read.
func (r *tasks) shortage(ctx context.Context, g *api.Devices) string {
	if g == nil || g.Memory == nil && g.ComputeCapability == "" {
		return ""
	}
	nodes := r.nodes.get(time.Now(), nodesAge, func() (nodes []*corev1.Node) {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
		if err := r.live.List(ctx, &list); err != nil {
			return nil // it is a right that other parts tell of
		}
		for _, n := range list.Items {
			nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, Annotations: n.Annotations}})
		}
		return nodes
	})
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
