package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/lab-layers/lab-layers/deploy/pull"
)

// cluster is what the API server told of workloads, pods and nodes, kept up to
// date by watches.
type cluster struct {
	client     kubernetes.Interface
	now        func() time.Time
	log        *slog.Logger
	namespaces []string          // none is all
	workloads  map[Kind][]*watch // one for each namespace
	pods       []cache.SharedIndexInformer
	// allPods is true where the pods of all namespaces are seen: only then is
	// known what is free.
	allPods bool
	nodes   *watch
	watches []*watch
}

// The indexes of pods.
const (
	byEnvironment = "environment"
	// byPuller has the pods that pull images, by environment and, at allPulls, all.
	byPuller = "puller"
	allPulls = ""
	// byImage has pods by node and image: see onNode.
	byImage = "image"
)

// newCluster prepares the watches of workloads in some namespaces, none is all,
// of all pods that may be seen, and of nodes.
func newCluster(ctx context.Context, client kubernetes.Interface, namespaces []string, now func() time.Time, log *slog.Logger) (*cluster, error) {
	c := &cluster{client: client, now: now, log: log, namespaces: namespaces, workloads: map[Kind][]*watch{}, allPods: true}
	podsIn := []string{metav1.NamespaceAll}
	if len(namespaces) == 0 {
		namespaces = podsIn
	} else {
		allowed, err := mayWatchAllPods(ctx, client)
		if err != nil {
			return nil, fmt.Errorf("ask for our rights: %w", err)
		}
		if !allowed {
			log.Info("pods of other namespaces may not be seen, so no rollout of a GPU workload surges")
			podsIn, c.allPods = namespaces, false
		}
	}
	for _, ns := range namespaces {
		if err := c.watchWorkloads(ns); err != nil {
			return nil, err
		}
	}
	for _, ns := range podsIn {
		pods, err := watchOf(c, client.CoreV1().Pods(ns), &corev1.Pod{}, cache.Indexers{byEnvironment: podEnvironment, byPuller: podPuller, byImage: imageOn})
		if err != nil {
			return nil, err
		}
		c.pods = append(c.pods, pods)
	}
	var err error
	c.nodes, err = watchOf(c, client.CoreV1().Nodes(), &corev1.Node{}, nil)
	return c, err
}

// watchWorkloads prepares the watches of a namespace's workloads.
func (c *cluster) watchWorkloads(namespace string) error {
	deployments, err := watchOf(c, c.client.AppsV1().Deployments(namespace), &appsv1.Deployment{}, nil)
	if err != nil {
		return err
	}
	sets, err := watchOf(c, c.client.AppsV1().StatefulSets(namespace), &appsv1.StatefulSet{}, nil)
	if err != nil {
		return err
	}
	daemons, err := watchOf(c, c.client.AppsV1().DaemonSets(namespace), &appsv1.DaemonSet{}, nil)
	if err != nil {
		return err
	}
	jobs, err := watchOf(c, c.client.BatchV1().CronJobs(namespace), &batchv1.CronJob{}, nil)
	if err != nil {
		return err
	}
	for kind, w := range map[Kind]*watch{Deployment: deployments, StatefulSet: sets, DaemonSet: daemons, CronJob: jobs} {
		c.workloads[kind] = append(c.workloads[kind], w)
	}
	return nil
}

// mayWatchAllPods asks the API server for our own rights.
func mayWatchAllPods(ctx context.Context, client kubernetes.Interface) (bool, error) {
	for _, verb := range []string{"list", "watch"} {
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: "pods"}},
		}, metav1.CreateOptions{})
		if err != nil || !review.Status.Allowed {
			return false, err
		}
	}
	return true, nil
}

// run watches until the context ends. started is called once all that may be
// read was.
func (c *cluster) run(ctx context.Context, started func()) {
	var group sync.WaitGroup
	for _, w := range c.watches {
		group.Go(func() { w.RunWithContext(ctx) })
	}
	for _, w := range c.watches {
		select {
		case <-w.HasSyncedChecker().Done():
		case <-w.denied:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		started()
	}
	group.Wait()
}

// inStep is when all watches were last had, those left out that are refused; zero if
// that was never.
func (c *cluster) inStep() time.Time {
	now := c.now()
	last := now
	for _, w := range c.watches {
		if at, counts := w.inStep(now); counts && at.Before(last) {
			last = at
		}
	}
	return last
}

// workload finds an environment's; nil if there is none.
func (c *cluster) workload(e Environment) *workload {
	for _, informer := range c.workloads[e.Kind] {
		if obj, ok, err := informer.GetStore().GetByKey(e.Namespace + "/" + e.Name); err == nil && ok {
			return view(obj)
		}
	}
	return nil
}

// unseen says why an environment's workload cannot be known to be there or not;
// empty if it can.
func (c *cluster) unseen(e Environment) string {
	if len(c.namespaces) > 0 && !slices.Contains(c.namespaces, e.Namespace) {
		return "it is not looked after: its namespace is none of --namespaces"
	}
	for _, w := range c.workloads[e.Kind] {
		if !w.HasSynced() {
			return "it cannot be seen: " + w.why()
		}
	}
	return ""
}

// environments are all workloads whose annotations ask for images.
func (c *cluster) environments() (all []Environment) {
	for kind, watches := range c.workloads {
		for _, w := range watches {
			for _, o := range listed[metav1.Object](w) {
				if asks(o.GetAnnotations()) {
					all = append(all, Environment{o.GetNamespace(), kind, o.GetName()})
				}
			}
		}
	}
	return all
}

// unseenNodes says why nodes may not be read; empty if they may.
func (c *cluster) unseenNodes() string {
	if c.nodes.HasSynced() {
		return ""
	}
	return c.nodes.why()
}

// silent reports whether a node is there and not ready.
func (c *cluster) silent(node string) bool {
	obj, ok, err := c.nodes.GetStore().GetByKey(node)
	return err == nil && ok && !ready(obj.(*corev1.Node))
}

// podsOf are the pods of an environment.
func (c *cluster) podsOf(e Environment) []*corev1.Pod { return c.indexed(byEnvironment, e.String()) }

// running are the nodes on which an environment has pods, by name.
func (c *cluster) running(e Environment) (nodes []*corev1.Node) {
	for _, pod := range c.podsOf(e) {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		obj, ok, err := c.nodes.GetStore().GetByKey(pod.Spec.NodeName)
		if err != nil || !ok {
			continue
		}
		if n := obj.(*corev1.Node); !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// pullsFor are the pods that pull images for an environment.
func (c *cluster) pullsFor(e Environment) []*corev1.Pod { return c.indexed(byPuller, e.String()) }

// pulling are all pods that pull images, and whether they still do.
func (c *cluster) pulling() map[types.NamespacedName]bool {
	all := map[types.NamespacedName]bool{}
	for _, pod := range c.indexed(byPuller, allPulls) {
		state, _ := pull.Of(pod)
		all[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = state == pull.Going
	}
	return all
}

// used reports whether a node has a container of an image.
func (c *cluster) used(node string, d digest.Digest) bool {
	return len(c.indexed(byImage, onNode(node, string(d)))) > 0
}

func (c *cluster) indexed(index, value string) (pods []*corev1.Pod) {
	for _, informer := range c.pods {
		objects, err := informer.GetIndexer().ByIndex(index, value)
		if err != nil {
			continue // there is such an index
		}
		for _, obj := range objects {
			pods = append(pods, obj.(*corev1.Pod))
		}
	}
	return pods
}

func listed[T any](informers ...cache.SharedIndexInformer) (all []T) {
	for _, informer := range informers {
		for _, obj := range informer.GetStore().List() {
			all = append(all, obj.(T))
		}
	}
	return all
}

// podEnvironment indexes pods by the environment whose they are.
func podEnvironment(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	if e, ok := owner(pod); ok {
		return []string{e.String()}, nil
	}
	return nil, nil
}

// podPuller indexes the pods that pull images.
func podPuller(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	if e, ok := puller(pod); ok {
		return []string{e.String(), allPulls}, nil
	}
	return nil, nil
}

// owner finds the workload that a pod belongs to. A Deployment's name is what is
// before the hash in the name of its ReplicaSet.
func owner(pod *corev1.Pod) (Environment, bool) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return Environment{}, false
	}
	e := Environment{pod.Namespace, Kind(ref.Kind), ref.Name}
	if ref.Kind == "ReplicaSet" {
		name, ok := strings.CutSuffix(ref.Name, "-"+pod.Labels["pod-template-hash"])
		e.Kind, e.Name = Deployment, name
		return e, ok
	}
	return e, e.Kind == StatefulSet || e.Kind == DaemonSet
}

// slim drops what is not read of the objects that are kept.
func slim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(slices.DeleteFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager != imageManager && !setsImages(f) }))
	}
	switch o := obj.(type) {
	case *corev1.Node:
		for i := range o.Status.Images {
			o.Status.Images[i].Names = slices.DeleteFunc(o.Status.Images[i].Names, func(name string) bool { return digestOf(name) == "" })
		}
	case *corev1.Pod:
		o.Annotations, o.ManagedFields = nil, nil
		o.Spec.Volumes = nil
		for _, containers := range [][]corev1.Container{o.Spec.InitContainers, o.Spec.Containers} {
			for i, c := range containers {
				containers[i] = corev1.Container{Name: c.Name, Image: c.Image, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
			}
		}
	}
	return obj, nil
}
