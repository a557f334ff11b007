package deploy_test

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// TestNodeDies has a node fall silent in the midst of a rollout. The image is
// not at fault: nothing goes back, others get their turn, and it ends as soon as
// the node is there again.
func TestNodeDies(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "dies", Labels: map[string]string{"lab": "dies"}, Taints: []corev1.Taint{clustertest.GPUTaint()}})
	l.AddNode(t, clustertest.Node{Name: "lives"})
	e := l.statefulSet(workload{name: "unet", layer: "unet", image: ref("unet", runs(0)), replicas: 1, annotations: map[string]string{
		deploy.CanaryAnnotation: "true",
	}}, appsv1.RollingUpdateStatefulSetStrategyType, func(s *appsv1.StatefulSet) {
		s.Spec.Template.Spec.NodeSelector = map[string]string{"lab": "dies"}
		s.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: clustertest.GPUTaint().Key, Operator: corev1.TolerationOpExists}}
		// The test is the kubelet of its pods.
		s.Spec.Template.Annotations = map[string]string{clustertest.StartsAfter: "1h"}
	})
	next := l.deployment(workload{name: "vgg", layer: "unet", image: ref("unet", runs(0)), replicas: 1})
	l.run("unet-0", runs(0))
	first := l.push("unet", runs(1))
	l.start(l.engine(func(e *deploy.Engine) { e.Parallel, e.Canary = 1, true }))
	l.run("unet-0", runs(1))
	l.await(e, deploy.Healthy, first)
	l.await(next, deploy.Healthy, first)

	second := l.push("unet", runs(2))
	l.await(e, deploy.Rolling, second)
	clustertest.Await(t, "the new pod's node", func(ctx context.Context) error {
		_, err := l.placed(ctx, "unet-0", runs(2))
		return err
	})
	l.KillNode(t, "dies", true)
	l.annotate(e, deploy.DeadlineAnnotation, `"1s"`)
	// The other waits for no canary that cannot go on, and has the one turn.
	l.await(next, deploy.Healthy, second)
	has(t, l.await(e, deploy.Rolling, second).Reason, "node dies is not ready")
	l.annotate(e, deploy.DeadlineAnnotation, "null")
	l.KillNode(t, "dies", false)
	l.run("unet-0", runs(2))
	l.await(e, deploy.Healthy, second)
	if history, err := l.store.RolloutsOf(t.Context(), e, 10); err != nil || len(history) != 2 {
		t.Errorf("it was rolled %d times: %v", len(history), err)
	}
}

// run makes a pod ready once it has an image and a node.
func (l *lab) run(name, image string) {
	l.Helper()
	clustertest.Await(l, "pod "+name+" to run", func(ctx context.Context) error {
		pod, err := l.placed(ctx, name, image)
		if err != nil {
			return err
		}
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
		_, err = l.Client.CoreV1().Pods(l.ns).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
}

// placed finds a pod that has an image and a node.
func (l *lab) placed(ctx context.Context, name, image string) (*corev1.Pod, error) {
	pod, err := l.Client.CoreV1().Pods(l.ns).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if has := pod.Spec.Containers[0].Image; has != ref("unet", image) || pod.DeletionTimestamp != nil || pod.Spec.NodeName == "" {
		return nil, fmt.Errorf("it has %s, and node %q", has, pod.Spec.NodeName)
	}
	return pod, nil
}
