package gates

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

var cluster clustertest.Shared

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// clock is ahead of the real one, as the cluster goes by that.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// smoked is an environment of a namespace whose new image fares in some way.
func smoked(ns, name string, fate clustertest.Fate, gpus string) deploy.Candidate {
	c := candidate(gpus, SmokeAnnotation, `["python","-c","import torch"]`)
	c.Environment.Namespace, c.Environment.Name = ns, name
	c.Image = fate.Image("registry.example/lab/"+name, 1)
	c.Template.Labels = map[string]string{"app": name}
	return c
}

// await asks a gate until its reason begins in some way.
func await(t *testing.T, g *Smoke, c deploy.Candidate, reason string) (v deploy.Verdict) {
	t.Helper()
	clustertest.Await(t, reason, func(ctx context.Context) error {
		if v = g.Check(ctx, c, nil); !strings.HasPrefix(v.Reason, reason) {
			return fmt.Errorf("%s: %s", v.Answer, v.Reason)
		}
		return nil
	})
	return v
}

func TestSmoke(t *testing.T) {
	k := cluster.Get(t)
	ns := k.Namespace(t)
	k.AddNode(t, clustertest.Node{Name: "smoke-1", GPU: clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 1, MemoryMiB: 49140, Compute: "8.6", Driver: "580.65.06", CUDA: "13.0"}})
	now := &clock{}
	g := &Smoke{Client: k.Client, Parallel: 10, Now: now.now}

	good := smoked(ns, "good", clustertest.Runs, "1")
	if v := g.Check(t.Context(), good, nil); v.Answer != deploy.Refuse || v.Reason != "the smoke test runs: python -c import torch" || !v.Until.After(time.Now()) {
		t.Errorf("at first: %+v", v)
	}
	if v := await(t, g, good, "the smoke test passed"); v.Answer != deploy.Allow {
		t.Errorf("passed: %+v", v)
	}
	pods, err := k.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=good"})
	if err != nil || len(pods.Items) != 0 {
		t.Errorf("%d pods that a Service would take for the environment's, %v", len(pods.Items), err)
	}

	bad := smoked(ns, "bad", clustertest.Crashes, "1")
	if v := await(t, g, bad, "smoke test failed: exit code 1: Error"); v.Answer != deploy.Refuse || !v.Until.IsZero() {
		t.Errorf("failed: %+v", v)
	}
	// Another process finds it so, too.
	if v := (&Smoke{Client: k.Client, Parallel: 10, Now: now.now}).Check(t.Context(), bad, nil); !strings.HasPrefix(v.Reason, "smoke test failed: exit code 1") {
		t.Errorf("again: %+v", v)
	}

	missing := smoked(ns, "missing", clustertest.PullFails, "")
	await(t, g, missing, "the smoke test waits: ImagePullBackOff: Back-off pulling image")
	late := smoked(ns, "late", clustertest.PullFails, "")
	late.Annotations[TimeoutAnnotation] = "2s"
	await(t, g, late, "smoke test failed: ImagePullBackOff: Back-off pulling image")
}

// Where the environment itself has every GPU the test does without.
func TestSmokeOnFullGPUs(t *testing.T) {
	k := cluster.Get(t)
	ns := k.Namespace(t)
	k.AddNode(t, clustertest.Node{Name: "smoke-full", GPU: clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 1, MemoryMiB: 49140, Compute: "8.6", Driver: "580.65.06", CUDA: "13.0"}})
	taker := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "taker"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: clustertest.Runs.Image("registry.example/lab/taker", 1),
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{clustertest.GPUResource: resource.MustParse("1")}},
		}}},
	}
	if _, err := k.Client.CoreV1().Pods(ns).Create(t.Context(), taker, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	clustertest.Await(t, "the GPU to be taken", func(ctx context.Context) error {
		p, err := k.Client.CoreV1().Pods(ns).Get(ctx, "taker", metav1.GetOptions{})
		if err == nil && p.Spec.NodeName == "" {
			err = errors.New("not placed")
		}
		return err
	})
	now := &clock{}
	g := &Smoke{Client: k.Client, Parallel: 10, Now: now.now}
	c := smoked(ns, "resnet50", clustertest.Runs, "1")
	await(t, g, c, "the smoke test waits: 0/")
	now.forward(placeLimit)
	await(t, g, c, "the smoke test gets no GPU, and begins anew without one: 0/")
	await(t, g, c, "the smoke test passed")
}

func TestSmokeTestsAtOnce(t *testing.T) {
	k := cluster.Get(t)
	ns := k.Namespace(t)
	k.AddNode(t, clustertest.Node{Name: "smoke-many"})
	now := &clock{}
	g := &Smoke{Client: k.Client, Parallel: 2, Now: now.now}
	for _, name := range []string{"a", "b"} {
		await(t, g, smoked(ns, name, clustertest.Unready, ""), "the smoke test runs")
	}
	c := smoked(ns, "c", clustertest.Runs, "")
	if v := g.Check(t.Context(), c, nil); v.Reason != "the smoke test waits for others: 2 run at once" || v.Until.IsZero() {
		t.Errorf("%+v", v)
	}
	// A newer image of an environment takes the place of the one before.
	newer := smoked(ns, "a", clustertest.Runs, "")
	await(t, g, newer, "the smoke test passed")
	list, err := k.Client.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("there are %d jobs, %v", len(list.Items), err)
	}
	await(t, g, smoked(ns, "a", clustertest.Unready, ""), "the smoke test runs")
	now.forward(2*defaultTimeout + time.Second) // whatever became of them
	await(t, g, c, "the smoke test passed")
}

func TestSmokeWithoutRights(t *testing.T) {
	k := cluster.Get(t)
	config := rest.CopyConfig(k.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	v := (&Smoke{Client: client, Parallel: 1, Now: time.Now}).Check(t.Context(), smoked(k.Namespace(t), "a", clustertest.Runs, ""), nil)
	if v.Answer != deploy.Refuse || !strings.Contains(v.Reason, `User "nobody" cannot get resource "jobs"`) || v.Until.IsZero() {
		t.Errorf("%+v", v)
	}
}

// Who can have a Job of a test's name cannot have the test pass by it, nor loses it to
// a newer image's test.
func TestSmokeOfTakenName(t *testing.T) {
	k := cluster.Get(t)
	ns := k.Namespace(t)
	command := []string{"python", "-c", "import torch"}
	for name, forge := range map[string]func(*batchv1.Job){
		"task": func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "lab-layers.dev/v1alpha1", Kind: "LabTask", Name: j.Name, UID: "1", Controller: new(true)}}
		},
		"stranger": func(j *batchv1.Job) { j.Labels = map[string]string{"app": "unet"} },
		"other":    func(j *batchv1.Job) { j.Annotations[prefix+"image"] = "registry.example/lab/other" },
	} {
		c := smoked(ns, name, clustertest.Runs, "")
		job := jobFor(c, jobName(c, command), command, time.Minute, false)
		if !testOf(job, c) {
			t.Errorf("%s: a test is not known again", name)
		}
		forge(job)
		if _, err := k.Client.BatchV1().Jobs(ns).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		g := &Smoke{Client: k.Client, Parallel: 1, Now: time.Now}
		v := g.Check(t.Context(), c, nil)
		if want := "cannot run the smoke test: a Job " + job.Name + " is there that is not this test: delete it"; v.Answer != deploy.Refuse || v.Reason != want || v.Until.IsZero() {
			t.Errorf("%s: %+v", name, v)
		}
		newer := c
		newer.Image = clustertest.Runs.Image("registry.example/lab/"+name, 2)
		g.Check(t.Context(), newer, nil)
		if left, err := k.Client.BatchV1().Jobs(ns).Get(t.Context(), job.Name, metav1.GetOptions{}); err != nil || left.DeletionTimestamp != nil {
			t.Errorf("%s: the Job that is no test was removed: %v", name, err)
		}
	}
}

// The API server takes the Job of a template that has everything.
func TestClusterTakesJob(t *testing.T) {
	k := cluster.Get(t)
	ns := k.Namespace(t)
	c := fullCandidate(t)
	c.Environment.Namespace = ns
	c.Template.Spec.RuntimeClassName = nil // there is none of the name
	for name, gpu := range map[string]bool{"with": true, "without": false} {
		if _, err := k.Client.BatchV1().Jobs(ns).Create(t.Context(), jobFor(c, name, []string{"true"}, time.Minute, gpu), metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
}
