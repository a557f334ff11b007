package deploy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUnready names pods that run and are not ready, beside what is worse of others.
func TestUnready(t *testing.T) {
	pod := func(name string, ready corev1.ConditionStatus, containers ...corev1.ContainerStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, ContainerStatuses: containers,
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
			},
		}
	}
	runs := func(name string, ready bool) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Ready: ready, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	}
	crashes := corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
	fine := pod("fine", corev1.ConditionTrue, runs("main", true))
	slow := pod("slow", corev1.ConditionFalse, runs("sidecar", true), runs("main", false))
	for name, test := range map[string]struct {
		pods          []*corev1.Pod
		line, unready string
	}{
		"all are ready":            {[]*corev1.Pod{fine}, "", ""},
		"a container is not":       {[]*corev1.Pod{fine, slow, pod("later", corev1.ConditionFalse, runs("main", false))}, "", "pod slow, container main: runs and is not ready"},
		"a gate of its own is not": {[]*corev1.Pod{pod("gated", corev1.ConditionFalse, runs("main", true))}, "", "pod gated: runs and is not ready"},
		"another crashes":          {[]*corev1.Pod{slow, pod("bad", corev1.ConditionFalse, crashes)}, "pod bad, container main: CrashLoopBackOff", "pod slow, container main: runs and is not ready"},
	} {
		if got := worst(test.pods); got.line != test.line || got.unready != test.unready || got.hopeless {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
