package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/lab-layers/lab-layers/layers"
)

// The names under which fields are set: images and what they are about, and the
// strategy for the while of a rollout.
const (
	imageManager    = "lab-layers"
	strategyManager = "lab-layers-rollout"
)

// tree is a part of an object in an apply patch.
type tree map[string]any

// imagePatch gives images to a workload's containers, and says which commit and run
// they are of, as far as that is known. What was set
// so before and is no longer ours to set stays as it is: to leave it out would
// take it off the workload.
func imagePatch(w *workload, images Images, commit layers.Commit, run int64, now time.Time) tree {
	has := w.images()
	containers := func(of []corev1.Container) (all []tree) {
		for _, c := range of {
			if image, ok := images[c.Name]; ok {
				all = append(all, tree{"name": c.Name, "image": image})
			} else if w.owned[c.Name] {
				all = append(all, tree{"name": c.Name, "image": has[c.Name]})
			}
		}
		return all
	}
	pod := tree{}
	if all := containers(w.template.Spec.Containers); len(all) > 0 {
		pod["containers"] = all
	}
	if all := containers(w.template.Spec.InitContainers); len(all) > 0 {
		pod["initContainers"] = all
	}
	spec := tree{"template": tree{"spec": pod}}
	if w.Kind == CronJob {
		spec = tree{"jobTemplate": tree{"spec": spec}}
	}
	var digests []string
	for _, container := range images.sorted() {
		digests = append(digests, container+"="+string(digestOf(images[container])))
	}
	annotations := tree{digestAnnotation: strings.Join(digests, " "), rolledAtAnnotation: now.UTC().Format(time.RFC3339)}
	if commit != "" {
		annotations[commitAnnotation] = string(commit)
	}
	if run != 0 {
		annotations[runAnnotation] = strconv.FormatInt(run, 10)
	}
	return w.applied(annotations, spec)
}

// applied is an apply patch of the very workload: one that was deleted
// meanwhile is not made anew.
func (w *workload) applied(annotations, spec tree) tree {
	return tree{
		"apiVersion": apiVersions[w.Kind], "kind": string(w.Kind),
		"metadata": tree{"name": w.Name, "namespace": w.Namespace, "uid": w.uid, "annotations": annotations},
		"spec":     spec,
	}
}

var apiVersions = map[Kind]string{Deployment: "apps/v1", StatefulSet: "apps/v1", DaemonSet: "apps/v1", CronJob: "batch/v1"}

// strategyBefore is the workload's own way, kept for the while of a rollout.
type strategyBefore struct {
	Surge *intstr.IntOrString `json:"maxSurge,omitempty"`
	Down  *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// strategyField names where a kind has its rolling update.
var strategyField = map[Kind]string{Deployment: "strategy", DaemonSet: "updateStrategy"}

// noSurgePatch lets old pods go before new ones come. What was there before is
// written beside it.
func noSurgePatch(w *workload) (tree, error) {
	before, err := json.Marshal(strategyBefore{w.strategy.surge, w.strategy.down})
	if err != nil {
		return nil, err
	}
	return w.applied(tree{strategyAnnotation: string(before)}, tree{
		strategyField[w.Kind]: tree{"rollingUpdate": tree{"maxSurge": 0, "maxUnavailable": max(1, w.strategy.downPods)}},
	}), nil
}

// apply sends an apply patch and returns the workload as it is then.
func apply(ctx context.Context, client kubernetes.Interface, w *workload, manager string, patch tree) (*workload, error) {
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	obj, err := send(ctx, client, w.Environment, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: manager, Force: new(true)})
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", w.Environment, err)
	}
	return view(obj), nil
}

// restoreStrategy gives a workload the way back that it had before a rollout,
// and takes our name off it: whoever sets it next meets no conflict.
func restoreStrategy(ctx context.Context, client kubernetes.Interface, w *workload) (*workload, error) {
	live, err := get(ctx, client, w.Environment)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", w.Environment, err)
	}
	meta, ok := live.(metav1.Object)
	text, kept := meta.GetAnnotations()[strategyAnnotation]
	if !ok || !kept {
		return view(live), nil
	}
	spec := tree{}
	var before strategyBefore
	if err := json.Unmarshal([]byte(text), &before); err == nil && view(live).strategy.rolling {
		spec[strategyField[w.Kind]] = tree{"rollingUpdate": tree{"maxSurge": before.Surge, "maxUnavailable": before.Down}}
	}
	changed, err := merge(ctx, client, w.Environment, meta, tree{}, spec)
	if err != nil {
		return nil, fmt.Errorf("give %s its strategy back: %w", w.Environment, err)
	}
	// By that we have set the fields, so our name goes with a patch of its own.
	// The annotation goes last: while it is there, all this is done again.
	meta, ok = changed.(metav1.Object)
	if !ok {
		return view(changed), nil
	}
	others := slices.DeleteFunc(meta.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == strategyManager })
	changed, err = merge(ctx, client, w.Environment, meta, tree{"managedFields": others, "annotations": tree{strategyAnnotation: nil}}, nil)
	if err != nil {
		return nil, fmt.Errorf("take our name off the strategy of %s: %w", w.Environment, err)
	}
	return view(changed), nil
}

// merge changes an object if it is still as it was read.
func merge(ctx context.Context, client kubernetes.Interface, e Environment, read metav1.Object, metadata, spec tree) (runtime.Object, error) {
	metadata["uid"], metadata["resourceVersion"] = read.GetUID(), read.GetResourceVersion()
	patch := tree{"metadata": metadata}
	if len(spec) > 0 {
		patch["spec"] = spec
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return send(ctx, client, e, types.MergePatchType, body, metav1.PatchOptions{FieldManager: strategyManager})
}

func send(ctx context.Context, client kubernetes.Interface, e Environment, how types.PatchType, body []byte, o metav1.PatchOptions) (runtime.Object, error) {
	switch e.Kind {
	case Deployment:
		return client.AppsV1().Deployments(e.Namespace).Patch(ctx, e.Name, how, body, o)
	case StatefulSet:
		return client.AppsV1().StatefulSets(e.Namespace).Patch(ctx, e.Name, how, body, o)
	case DaemonSet:
		return client.AppsV1().DaemonSets(e.Namespace).Patch(ctx, e.Name, how, body, o)
	}
	return client.BatchV1().CronJobs(e.Namespace).Patch(ctx, e.Name, how, body, o)
}

func get(ctx context.Context, client kubernetes.Interface, e Environment) (runtime.Object, error) {
	switch e.Kind {
	case Deployment:
		return client.AppsV1().Deployments(e.Namespace).Get(ctx, e.Name, metav1.GetOptions{})
	case StatefulSet:
		return client.AppsV1().StatefulSets(e.Namespace).Get(ctx, e.Name, metav1.GetOptions{})
	case DaemonSet:
		return client.AppsV1().DaemonSets(e.Namespace).Get(ctx, e.Name, metav1.GetOptions{})
	}
	return client.BatchV1().CronJobs(e.Namespace).Get(ctx, e.Name, metav1.GetOptions{})
}
