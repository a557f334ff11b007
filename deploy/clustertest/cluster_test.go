package clustertest

import (
	"context"
	"fmt"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var cluster Shared

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

var (
	a100 = GPU{Product: "NVIDIA-A100-SXM4-80GB", Count: 2, MemoryMiB: 81920, Compute: "8.0", Driver: "580.65.06", CUDA: "13.0"}
	lab  = map[string]string{"app": "lab"}
)

// deployment is one of an image, with more done to it.
func deployment(image string, replicas int32, more func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "lab"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: lab},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: lab, Annotations: map[string]string{}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "lab", Image: image}}},
			},
		},
	}
	if more != nil {
		more(d)
	}
	return d
}

// asksGPU makes the pods of a deployment ask for one GPU each.
func asksGPU(d *appsv1.Deployment) {
	spec := &d.Spec.Template.Spec
	spec.Tolerations = []corev1.Toleration{{Key: string(GPUResource), Operator: corev1.TolerationOpExists}}
	spec.Containers[0].Resources.Limits = corev1.ResourceList{GPUResource: resource.MustParse("1")}
}

// create makes a deployment in a namespace of its own.
func create(t *testing.T, c *Cluster, d *appsv1.Deployment) string {
	t.Helper()
	ns := c.Namespace(t)
	if _, err := c.Client.AppsV1().Deployments(ns).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return ns
}

// pods waits until all pods of a namespace satisfy a condition, and returns
// them.
func pods(t *testing.T, c *Cluster, ns string, n int, is func(corev1.Pod) bool) (found []corev1.Pod) {
	t.Helper()
	Await(t, fmt.Sprintf("%d pods", n), func(ctx context.Context) error {
		list, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		found = nil
		for _, p := range list.Items {
			if is(p) {
				found = append(found, p)
			}
		}
		if len(found) != n || len(list.Items) != n {
			return fmt.Errorf("%d of %d", len(found), len(list.Items))
		}
		return nil
	})
	return found
}

func running(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

func waitsBecause(reason string) func(corev1.Pod) bool {
	return func(p corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason
	}
}

// TestRollout sees a deployment become available, and roll to another digest.
func TestRollout(t *testing.T) {
	c := cluster.Get(t)
	c.AddNode(t, Node{Name: "plain"})
	ns := create(t, c, deployment(Runs.Image("lab", 1), 3, nil))
	available := func(image string) {
		t.Helper()
		Await(t, "the deployment", func(ctx context.Context) error {
			d, err := c.Client.AppsV1().Deployments(ns).Get(ctx, "lab", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if s := d.Status; s.ObservedGeneration != d.Generation || s.AvailableReplicas != 3 || s.UpdatedReplicas != 3 || s.Replicas != 3 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		for _, p := range pods(t, c, ns, 3, running) {
			if got := p.Status.ContainerStatuses[0].ImageID; got != image {
				t.Errorf("pod %s runs %s, not %s", p.Name, got, image)
			}
		}
	}
	available(Runs.Image("lab", 1))
	d, err := c.Client.AppsV1().Deployments(ns).Get(t.Context(), "lab", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Spec.Containers[0].Image = Runs.Image("lab", 2)
	if _, err := c.Client.AppsV1().Deployments(ns).Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	available(Runs.Image("lab", 2))
}

// TestGPUs sees pods that ask for GPUs on the node that has them, and no more of
// them than it has.
func TestGPUs(t *testing.T) {
	c := cluster.Get(t)
	c.AddNode(t, Node{Name: "plain"})
	c.AddNode(t, Node{Name: "a100", GPU: a100, Taints: []corev1.Taint{GPUTaint()}, Labels: map[string]string{"nvidia.com/mig.capable": ""}})
	ns := create(t, c, deployment(Runs.Image("lab", 1), 3, asksGPU))
	placed := func(p corev1.Pod) bool { return p.Spec.NodeName != "" || unschedulable(p) }
	free := 0
	for _, p := range pods(t, c, ns, 3, placed) {
		switch p.Spec.NodeName {
		case "a100":
		case "":
			free++
		default:
			t.Errorf("pod %s is on node %s", p.Name, p.Spec.NodeName)
		}
	}
	if free != 1 {
		t.Errorf("%d of 3 pods found no GPU where there are 2", free)
	}
	plain := create(t, c, deployment(Runs.Image("lab", 1), 1, nil))
	if p := pods(t, c, plain, 1, running)[0]; p.Spec.NodeName != "plain" {
		t.Errorf("a pod without a toleration is on node %s", p.Spec.NodeName)
	}
	node, err := c.Client.CoreV1().Nodes().Get(t.Context(), "a100", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{
		"nvidia.com/cuda.driver-version.full": "580.65.06", "nvidia.com/cuda.driver-version.revision": "06",
		"nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.memory": "81920", "nvidia.com/cuda.runtime-version.minor": "0",
	} {
		if node.Labels[label] != want {
			t.Errorf("label %s is %q, not %q", label, node.Labels[label], want)
		}
	}
	if _, there := node.Labels["nvidia.com/mig.capable"]; there {
		t.Error("a label was not taken away")
	}
}

func unschedulable(p corev1.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
			return true
		}
	}
	return false
}

// TestPullFails sees a rollout whose image is not there exceed its deadline.
func TestPullFails(t *testing.T) {
	c := cluster.Get(t)
	c.AddNode(t, Node{Name: "plain"})
	ns := create(t, c, deployment(PullFails.Image("lab", 1), 1, func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = new(int32(1))
	}))
	pods(t, c, ns, 1, waitsBecause("ImagePullBackOff"))
	Await(t, "the deadline", func(ctx context.Context) error {
		d, err := c.Client.AppsV1().Deployments(ns).Get(ctx, "lab", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range d.Status.Conditions {
			if condition.Type == appsv1.DeploymentProgressing && condition.Reason == "ProgressDeadlineExceeded" {
				return nil
			}
		}
		return fmt.Errorf("%+v", d.Status.Conditions)
	})
}

// TestFates sees the other fates, by annotation too.
func TestFates(t *testing.T) {
	c := cluster.Get(t)
	c.AddNode(t, Node{Name: "plain"})
	unready := func(p corev1.Pod) bool { return running(p) && !p.Status.ContainerStatuses[0].Ready }
	pods(t, c, create(t, c, deployment(Crashes.Image("lab", 1), 1, nil)), 1, waitsBecause("CrashLoopBackOff"))
	pods(t, c, create(t, c, deployment(Unready.Image("lab", 1), 1, nil)), 1, unready)
	pods(t, c, create(t, c, deployment(Runs.Image("lab", 1), 1, func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations[FateAnnotation] = string(PullFails)
	})), 1, waitsBecause("ImagePullBackOff"))

	ns := c.Namespace(t)
	for fate, phase := range map[Fate]corev1.PodPhase{Runs: corev1.PodSucceeded, Crashes: corev1.PodFailed} {
		_, err := c.Client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: string(fate)},
			Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{
				Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "smoke", Image: fate.Image("lab", 1)}}},
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		Await(t, "job "+string(fate), func(ctx context.Context) error {
			job, err := c.Client.BatchV1().Jobs(ns).Get(ctx, string(fate), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if ended := map[corev1.PodPhase]int32{corev1.PodSucceeded: job.Status.Succeeded, corev1.PodFailed: job.Status.Failed}; ended[phase] != 1 {
				return fmt.Errorf("%+v", job.Status)
			}
			return nil
		})
	}
}

// TestFaults takes a node and the API server away, and gives them back.
func TestFaults(t *testing.T) {
	c := cluster.Get(t)
	c.AddNode(t, Node{Name: "mortal"})
	c.KillNode(t, "mortal", true)
	ns := create(t, c, deployment(Runs.Image("lab", 1), 1, nil))
	pods(t, c, ns, 1, unschedulable)
	c.KillNode(t, "mortal", false)
	pods(t, c, ns, 1, running)

	c.StopAPIServer()
	if _, err := c.Client.CoreV1().Nodes().Get(t.Context(), "mortal", metav1.GetOptions{}); err == nil {
		t.Error("an API server that was stopped answers")
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	pods(t, c, ns, 1, running)
	d, err := c.Client.AppsV1().Deployments(ns).GetScale(t.Context(), "lab", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Replicas = 2
	if _, err := c.Client.AppsV1().Deployments(ns).UpdateScale(t.Context(), "lab", d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods(t, c, ns, 2, running)
}
