package deploy

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pods are those of a workload, by what they tell of its images.
type pods struct {
	// with run what the workload is to run now.
	with []*corev1.Pod
	// others is how many run something else.
	others int
	// silent are nodes that are not ready, on which the workload has pods. What
	// those do, or whether, is not known: they tell nothing of an image.
	silent []string
}

func (l *leader) pods(w *workload, a *adoption) (found pods) {
	now := w.managed(a)
	for _, p := range l.cluster.podsOf(w.Environment) {
		differs := func(c corev1.Container) bool {
			image, ok := now[c.Name]
			return ok && !sameImage(image, c.Image) // a registry's mirror may have been put in its place
		}
		switch {
		case l.cluster.silent(p.Spec.NodeName):
			if !slices.Contains(found.silent, p.Spec.NodeName) {
				found.silent = append(found.silent, p.Spec.NodeName)
			}
		case !slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), differs):
			found.with = append(found.with, p)
		case p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
			found.others++
		}
	}
	slices.Sort(found.silent)
	return found
}

// lost reports whether nothing but nodes that are not ready keeps the workload
// from its end: each pod that runs the images is ready.
func (p pods) lost() bool {
	return len(p.silent) > 0 && !slices.ContainsFunc(p.with, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil && !podReady(pod) })
}

// trouble is the worst of the pods' troubles, else that of their nodes.
func (p pods) trouble() trouble {
	t := worst(p.with)
	if t.line == "" && len(p.silent) > 0 {
		t.line = "node " + p.silent[0] + " is not ready"
		if len(p.silent) > 1 {
			t.line = oneLine(fmt.Sprintf("nodes %s are not ready", strings.Join(p.silent, ", ")))
		}
	}
	return t
}
