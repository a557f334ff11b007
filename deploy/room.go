package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Room says how many more pods of a template the nodes have room for now.
type Room struct {
	// Devices are the extended resources that a pod asks for, such as
	// nvidia.com/gpu; none is a pod that needs no device.
	Devices []string
	// Known is false where it cannot be told: nodes or pods may not be read, or
	// the devices are claimed in a way that only the scheduler understands.
	Known bool
	// Pods is how many more fit, counted up to the limit that was asked for.
	Pods int
	// Nodes is how many nodes a pod may run on that have as much as it asks for, if
	// all of it were free.
	Nodes int
}

// Measure finds the room that nodes have for pods of a template beside the pods
// there are. A pod that waits for a place counts as if it had one wherever it
// could go first: it may be faster. It counts no further than the limit.
func Measure(nodes []*corev1.Node, pods []*corev1.Pod, template *corev1.PodTemplateSpec, limit int) Room {
	pod := podOf(template)
	wants := request(pod)
	room := Room{Devices: devices(wants), Known: len(nodes) > 0 && len(template.Spec.ResourceClaims) == 0}
	free := map[string]corev1.ResourceList{}
	var eligible []*corev1.Node
	for _, node := range nodes {
		free[node.Name] = node.Status.Allocatable.DeepCopy()
		if mayRun(pod, node) {
			eligible = append(eligible, node)
			if fits(node.Status.Allocatable, wants) {
				room.Nodes++
			}
		}
	}
	var waiting []*corev1.Pod
	for _, p := range pods {
		switch {
		case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		case p.Spec.NodeName != "":
			take(free[p.Spec.NodeName], request(p))
		default:
			waiting = append(waiting, p)
		}
	}
	for _, p := range waiting {
		wanted := request(p)
		if !slices.ContainsFunc(room.Devices, func(d string) bool { _, ok := wanted[corev1.ResourceName(d)]; return ok }) {
			continue // it does not compete for what is scarce
		}
		for _, node := range eligible {
			if mayRun(p, node) && fits(free[node.Name], wanted) {
				take(free[node.Name], wanted)
				break
			}
		}
	}
	for _, node := range eligible {
		for room.Pods < limit && fits(free[node.Name], wants) {
			take(free[node.Name], wants)
			room.Pods++
		}
	}
	return room
}

// podOf is a template's pod as the API server makes it: where a container has a
// limit and no request, it requests that much. In templates that is left out,
// and GPUs are mostly given as limits alone.
func podOf(template *corev1.PodTemplateSpec) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: *template.Spec.DeepCopy()}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			r := &containers[i].Resources
			requests := corev1.ResourceList{}
			maps.Copy(requests, r.Limits)
			maps.Copy(requests, r.Requests)
			r.Requests = requests
		}
	}
	return pod
}

func request(pod *corev1.Pod) corev1.ResourceList {
	list := resources.PodRequests(pod, resources.PodResourcesOptions{})
	list[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	return list
}

// devices are the extended resources of a list.
func devices(list corev1.ResourceList) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if text := string(name); strings.Contains(text, "/") && !strings.Contains(text, "kubernetes.io/") && !list.Name(name, resource.DecimalSI).IsZero() {
			names = append(names, text)
		}
	}
	return names
}

func fits(free, wants corev1.ResourceList) bool {
	for name, want := range wants {
		have := free[name]
		if !want.IsZero() && have.Cmp(want) < 0 {
			return false
		}
	}
	return true
}

func take(free, wants corev1.ResourceList) {
	for name, want := range wants {
		if have, ok := free[name]; ok {
			have.Sub(want)
			free[name] = have
		}
	}
}

// mayRun reports whether a pod's own terms let it on a node: it is there, in
// use, selected, and its taints are tolerated.
func mayRun(pod *corev1.Pod, node *corev1.Node) bool {
	if node.Spec.Unschedulable || !ready(node) || pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return false
	}
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !match {
		return false
	}
	repels := func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}
	_, repelled := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), node.Spec.Taints, pod.Spec.Tolerations, repels, true)
	return !repelled
}

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Way is how pods are replaced.
type Way string

// The ways.
const (
	// Surge lets new pods come before old ones go, as the workload says.
	Surge Way = "surge"
	// NoSurge has an old pod go before a new one comes.
	NoSurge Way = "no surge"
	// Recreate is the workload's own: all old pods go first, or each goes when
	// somebody deletes it.
	Recreate Way = "recreate"
)

// way chooses how a workload's pods are best replaced, and says why where that
// is not the workload's own way. unplaced says that a new pod waits in vain for
// a node.
func (w *workload) way(nodes []*corev1.Node, pods []*corev1.Pod, unplaced bool) (Way, string) {
	switch {
	case !w.strategy.rolling:
		return Recreate, ""
	case w.strategy.surgePods == 0:
		return NoSurge, ""
	}
	room := Measure(nodes, pods, w.template, w.strategy.surgePods)
	of := strings.Join(room.Devices, ", ")
	switch {
	case len(room.Devices) == 0 && len(w.template.Spec.ResourceClaims) == 0:
		return Surge, ""
	case w.Kind == DaemonSet:
		return NoSurge, "no surge: each node would need room for a pod more"
	case unplaced:
		return NoSurge, "no surge: no node has room for a pod more"
	case !room.Known:
		return NoSurge, "no surge: whether a device is free cannot be told"
	case room.Pods < w.strategy.surgePods:
		return NoSurge, fmt.Sprintf("no surge: %s is free for %d pods more of the %d that a surge takes, on %d nodes", of, room.Pods, w.strategy.surgePods, room.Nodes)
	}
	return Surge, ""
}
