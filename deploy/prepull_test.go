package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/layers"
)

const ofPulls = "app.kubernetes.io/component=pre-pull"

// pullWatch follows the pods of a namespace that pull images.
type pullWatch struct {
	*lab
	mu    sync.Mutex
	pods  map[string]*corev1.Pod // that are there
	made  map[string]int
	most  int // that pulled at once
	going map[string]bool
}

func (l *lab) watchPulls() *pullWatch {
	l.Helper()
	w := &pullWatch{lab: l, pods: map[string]*corev1.Pod{}, made: map[string]int{}, going: map[string]bool{}}
	watched, err := l.Client.CoreV1().Pods(l.ns).Watch(l.Context(), metav1.ListOptions{LabelSelector: ofPulls})
	l.check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range watched.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			w.mu.Lock()
			if event.Type == watch.Added {
				w.made[pod.Spec.NodeName+" "+pod.Spec.Containers[0].Image]++
			}
			if event.Type == watch.Deleted {
				delete(w.pods, pod.Name)
				delete(w.going, pod.Name)
			} else {
				w.pods[pod.Name] = pod
				if w.going[pod.Name] = len(pod.Status.ContainerStatuses) == 0 && pod.Status.Phase == corev1.PodPending; !w.going[pod.Name] {
					delete(w.going, pod.Name)
				}
			}
			w.most = max(w.most, len(w.going))
			w.mu.Unlock()
		}
	}()
	l.Cleanup(func() { watched.Stop(); <-done })
	return w
}

// end has one that pulls come to its end, and returns its node; empty if none
// pulls.
func (w *pullWatch) end(status corev1.PodStatus) string {
	w.Helper()
	w.mu.Lock()
	var pod *corev1.Pod
	for name := range w.going {
		pod = w.pods[name].DeepCopy()
	}
	w.mu.Unlock()
	if pod == nil {
		return ""
	}
	now := metav1.Now()
	status.StartTime = new(metav1.NewTime(now.Add(-2 * time.Minute)))
	for i := range status.ContainerStatuses {
		c := &status.ContainerStatuses[i]
		c.Name, c.Image = "image", pod.Spec.Containers[0].Image
		if t := c.State.Terminated; t != nil {
			c.ImageID, t.FinishedAt = c.Image, now
		}
	}
	pod.Status = status
	if _, err := w.Client.CoreV1().Pods(w.ns).UpdateStatus(w.Context(), pod, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
	clustertest.Await(w, "the pull's end to be seen", func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.going[pod.Name] {
			return fmt.Errorf("%s goes on", pod.Name)
		}
		return nil
	})
	return pod.Spec.NodeName
}

// A pull's ends: by the start that fails in every image, or by no image.
func pulled() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError"}},
	}}}
}

func notPulled() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "blob not found"}},
	}}}
}

func (w *pullWatch) awaitGoing(n int) {
	w.Helper()
	clustertest.Await(w, fmt.Sprint(n, " nodes to pull"), func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.going) != n {
			return fmt.Errorf("%d do: %v", len(w.going), w.going)
		}
		return nil
	})
}

// awaitReason waits until an environment is held for a reason that has all parts.
func (l *lab) awaitReason(e deploy.Environment, parts ...string) {
	l.Helper()
	clustertest.Await(l, fmt.Sprintf("%s to be held: %s", e, parts), func(context.Context) error {
		v := l.listed(e)
		if v == nil || v.State != deploy.Held || slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(v.Reason, part) }) {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
}

// pool adds nodes that no pods come to but those that ask for them.
func (l *lab) pool(names ...string) {
	l.Helper()
	for _, name := range names {
		l.AddNode(l, clustertest.Node{Name: l.ns + "-" + name, Labels: map[string]string{"room": l.ns}})
	}
}

// TestPrePull has two environments' images pulled on five nodes, two at once at the
// most, over a change of engines. Then both roll, and no pod is left.
func TestPrePull(t *testing.T) {
	l := newLab(t)
	l.pool("a", "b", "c", "d", "e")
	l.AddNode(t, clustertest.Node{Name: l.ns + "-other"})
	w := workload{layer: "unet", image: ref("unet", runs(1)), replicas: 1, room: l.ns, annotations: map[string]string{deploy.PullAnnotation: "2"}}
	var all []deploy.Environment
	for _, w.layer = range []string{"unet", "bert"} {
		w.name = w.layer
		all = append(all, l.deployment(w))
	}
	pulls := l.watchPulls()
	stop := l.start(l.engine())
	commit := l.Release(mainRef, map[layers.Name]string{"unet": clustertest.Pulls.Digest(1), "bert": clustertest.Pulls.Digest(2)})
	for _, e := range all {
		l.awaitReason(e, "pre-pull: on 0 of 5 nodes")
		if v := l.listed(e); v.Nodes == nil || v.Nodes.Eligible != 5 || v.Nodes.Holding != 0 || len(v.Nodes.Missing) != 5 || l.image(e) != ref("unet", runs(1)) {
			t.Errorf("%s has %s: %+v", e, l.image(e), v.Nodes)
		}
	}
	for n := range 10 {
		pulls.awaitGoing(min(2, 10-n))
		if n == 3 { // it ends with no word; another goes on with what it left
			stop()
			l.start(l.engine())
		}
		pulls.end(pulled())
		if n == 0 {
			clustertest.Await(t, "the time that is left", func(context.Context) error {
				for _, e := range all {
					if strings.Contains(l.listed(e).Reason, "on 1 of 5 nodes, about ") {
						return nil
					}
				}
				return fmt.Errorf("it is not told")
			})
		}
	}
	for _, e := range all {
		v := l.await(e, deploy.Healthy, commit)
		if v.Nodes == nil || v.Nodes.Eligible != 5 || v.Nodes.Holding != 5 || len(v.Nodes.Missing) != 0 {
			t.Errorf("the nodes of %s are %+v", e, v.Nodes)
		}
	}
	clustertest.Await(t, "no pod to be left", func(context.Context) error {
		pulls.mu.Lock()
		defer pulls.mu.Unlock()
		if len(pulls.pods) > 0 {
			return fmt.Errorf("there are %d", len(pulls.pods))
		}
		return nil
	})
	if pulls.most != 2 || len(pulls.made) != 10 {
		t.Errorf("%d pulled at once, of %d", pulls.most, len(pulls.made))
	}
	for what, n := range pulls.made {
		if n != 1 {
			t.Errorf("%s was pulled %d times", what, n)
		}
	}
	// It is on all nodes by now: another one has nothing to wait for.
	w.name, w.layer = "again", "unet"
	l.await(l.deployment(w), deploy.Healthy, commit)
	if len(pulls.made) != 10 {
		t.Errorf("it was pulled again: %v", pulls.made)
	}
}

// TestPrePullFails has nodes that do not get the image.
func TestPrePullFails(t *testing.T) {
	l := newLab(t)
	l.pool("a", "b")
	environment := func(name string, annotations ...string) deploy.Environment {
		w := workload{name: name, layer: name, image: ref(name, runs(1)), replicas: 1, room: l.ns, annotations: map[string]string{deploy.PullAnnotation: "9"}}
		for i := 0; i < len(annotations); i += 2 {
			w.annotations[annotations[i]] = annotations[i+1]
		}
		return l.deployment(w)
	}
	goesOn, holds := environment("unet"), environment("bert", deploy.PullPolicyAnnotation, "hold")
	late := environment("late", deploy.PullTimeoutAnnotation, "1s")
	pulls := l.watchPulls()
	l.start(l.engine())
	images := func(fate clustertest.Fate, n int) map[layers.Name]string {
		return map[layers.Name]string{"unet": fate.Digest(10 * n), "bert": fate.Digest(10*n + 1), "late": fate.Digest(10*n + 2)}
	}
	l.Release(mainRef, images(clustertest.Runs, 1))
	for _, e := range []deploy.Environment{goesOn, holds, late} {
		l.await(e, deploy.Healthy, "")
	}

	commit := l.Release(mainRef, images(clustertest.Pulls, 3))
	l.await(late, deploy.Healthy, commit) // its time is up
	pulls.awaitGoing(4)
	pulls.end(pulled())
	for range 3 {
		pulls.end(notPulled())
	}
	has(t, l.await(goesOn, deploy.Healthy, commit).Rollout.Remark, "pre-pull: on ", " of 2 nodes; node ", "ErrImagePull: blob not found")
	l.awaitReason(holds, "pre-pull: on ", " of 2 nodes; node ", "ErrImagePull: blob not found")
	_, err := l.store.Resume(t.Context(), holds)
	l.check(err)
	l.await(holds, deploy.Healthy, commit)

	// The next image takes the place of one that is still pulled.
	l.Release(mainRef, images(clustertest.Pulls, 4))
	l.awaitReason(holds, "pre-pull: on 0 of 2 nodes")
	last := l.Release(mainRef, images(clustertest.Runs, 5))
	for _, e := range []deploy.Environment{goesOn, holds, late} {
		l.await(e, deploy.Healthy, last)
	}
	// A workload that goes takes its pods along.
	l.Release(mainRef, images(clustertest.Pulls, 6))
	l.awaitReason(holds, "pre-pull: on 0 of 2 nodes")
	for _, e := range []deploy.Environment{goesOn, holds} {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null,%q:null}}}`, deploy.LayerAnnotation+"main", deploy.TrackAnnotation)
		_, err := l.Client.AppsV1().Deployments(l.ns).Patch(t.Context(), e.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		l.check(err)
	}
	l.check(l.Client.AppsV1().Deployments(l.ns).Delete(t.Context(), late.Name, metav1.DeleteOptions{}))
	clustertest.Await(t, "no pod to be left", func(context.Context) error {
		pulls.mu.Lock()
		defer pulls.mu.Unlock()
		if len(pulls.pods) > 0 {
			return fmt.Errorf("there are %d", len(pulls.pods))
		}
		return nil
	})
}
