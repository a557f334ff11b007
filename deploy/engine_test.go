package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// TestAdopt rolls workloads of all kinds that somebody else made, and checks
// that nothing of them is set but the images and the annotations that say why.
func TestAdopt(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "adopt"})
	w := workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 2}
	all := []deploy.Environment{l.deployment(w), l.statefulSet(w, appsv1.RollingUpdateStatefulSetStrategyType), l.daemonSet(w), l.cronJob(w)}
	w.name, w.untracked = "untracked", true
	all = append(all, l.deployment(w)) // it follows main, too
	bystander := l.deployment(workload{name: "bystander", image: "registry.example/other:1", replicas: 1, annotations: map[string]string{
		deploy.LayerAnnotation + "main": "", deploy.TrackAnnotation: "exam", deploy.LayerAnnotation + "sidecar": "unet",
	}})
	l.start(l.engine())
	for _, e := range all {
		has(t, l.await(e, deploy.Waiting, "").Reason, "no run of main has made images yet")
	}
	has(t, l.listed(all[4]).Reason, "to follow another branch annotate lab-layers.dev/track")
	first := l.push("unet", runs(1))
	for _, e := range all {
		v := l.await(e, deploy.Healthy, first)
		if got := l.image(e); got != ref("unet", runs(1)) || v.Images[0].To != got {
			t.Errorf("%s has %s, listed as %s", e, got, v.Images[0].To)
		}
	}
	second := l.push("unet", runs(2))
	for _, e := range all {
		v := l.await(e, deploy.Healthy, second)
		meta, spec := l.template(e)
		if spec.Containers[0].Image != ref("unet", runs(2)) || spec.Containers[1].Image != "registry.example/proxy:1" {
			t.Errorf("%s has %s and %s", e, spec.Containers[0].Image, spec.Containers[1].Image)
		}
		if v.Rollout == nil || v.Rollout.Images[0].From != ref("unet", runs(1)) || v.Rollout.State != deploy.Healthy {
			t.Errorf("the rollout of %s is %+v", e, v.Rollout)
		}
		want := []string{"annotations/lab-layers.dev/commit", "annotations/lab-layers.dev/digest", "annotations/lab-layers.dev/rolled-at", "annotations/lab-layers.dev/run", "main/image", "main/name"}
		if got := ownedBy(t, meta, "lab-layers"); !slices.Equal(got, want) {
			t.Errorf("of %s is ours: %v", e, got)
		}
		if meta.Annotations["lab-layers.dev/commit"] != string(second) {
			t.Errorf("%s is annotated %v", e, meta.Annotations)
		}
	}
	if got := l.image(bystander); got != "registry.example/other:1" {
		t.Errorf("another branch's workload has %s", got)
	}
}

// ownedBy lists the fields that a manager has set, each by its last two names.
func ownedBy(t *testing.T, meta metav1.ObjectMeta, manager string) (fields []string) {
	t.Helper()
	var walk func(name string, v map[string]any)
	walk = func(name string, v map[string]any) {
		for key, below := range v {
			last := strings.TrimPrefix(strings.TrimPrefix(key, "f:"), "k:")
			if strings.HasPrefix(last, "{") {
				var k struct{ Name string }
				if err := json.Unmarshal([]byte(last), &k); err != nil {
					t.Fatal(err)
				}
				last = k.Name
			}
			if below := below.(map[string]any); len(below) > 0 {
				walk(last, below)
			} else if key != "." {
				fields = append(fields, name+"/"+last)
			}
		}
	}
	for _, f := range meta.ManagedFields {
		if f.Manager != manager {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal(f.FieldsV1.GetRawBytes(), &v); err != nil {
			t.Fatal(err)
		}
		walk("", v)
	}
	slices.Sort(fields)
	return fields
}

// TestBadImage rolls images that fail in all the ways there are, and goes back.
func TestBadImage(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "bad"})
	w := workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 2, annotations: map[string]string{deploy.DeadlineAnnotation: "2s"}}
	all := []deploy.Environment{l.deployment(w), l.statefulSet(w, appsv1.RollingUpdateStatefulSetStrategyType), l.daemonSet(w)}
	l.start(l.engine())
	good := runs(1)
	last := l.push("unet", good)
	for _, e := range all {
		l.await(e, deploy.Healthy, last)
	}
	for i, bad := range []struct {
		fate clustertest.Fate
		want string
	}{{clustertest.PullFails, "ImagePullBackOff"}, {clustertest.Crashes, "CrashLoopBackOff"}, {clustertest.Unready, ", container main: runs and is not ready"}} {
		l.push("unet", bad.fate.Digest(i))
		for _, e := range all {
			v := l.await(e, deploy.RolledBack, "")
			has(t, v.Reason, bad.want)
			if strings.Contains(v.Reason, "\n") || l.image(e) != ref("unet", good) {
				t.Errorf("%s went back to %s: %s", e, l.image(e), v.Reason)
			}
			if meta, _ := l.template(e); v.Commit != last || meta.Annotations["lab-layers.dev/commit"] != string(last) {
				t.Errorf("%s went back to %s, listed as %s; it is annotated %v", e, last, v.Commit, meta.Annotations)
			}
		}
		// The same image is not tried again, the next is.
		l.push("unet", bad.fate.Digest(i))
		good = runs(10 + i)
		last = l.push("unet", good)
		for _, e := range all {
			v := l.await(e, deploy.Healthy, last)
			if history, err := l.store.RolloutsOf(t.Context(), e, 100); err != nil || len(history) != 3+2*i || v.Rollout.ID != history[0].ID {
				t.Errorf("%s: %d rollouts, %v", e, len(history), err)
			}
		}
	}
}

// TestBackToTheFirst goes back to an image that no release brought: nothing says which
// commit it is of.
func TestBackToTheFirst(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "first"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	l.start(l.engine())
	l.push("unet", clustertest.Crashes.Digest(0))
	v := l.await(e, deploy.RolledBack, "")
	meta, _ := l.template(e)
	want := []string{"annotations/lab-layers.dev/digest", "annotations/lab-layers.dev/rolled-at", "main/image", "main/name"}
	if got := ownedBy(t, meta, "lab-layers"); !slices.Equal(got, want) || v.Commit != "" {
		t.Errorf("of commit %q; ours are %v, annotated %v", v.Commit, got, meta.Annotations)
	}
	if _, told := meta.Annotations["lab-layers.dev/commit"]; told {
		t.Errorf("it is annotated %v", meta.Annotations)
	}
}

// TestFullGPUs fills every GPU and rolls all that run there at once, with the
// strategy that Deployments have by default, by which a new pod would wait for
// ever for an old one to go.
func TestFullGPUs(t *testing.T) {
	l := newLab(t)
	for i := range 3 {
		l.AddNode(t, clustertest.Node{Name: fmt.Sprint("full-", i), GPU: clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 4, MemoryMiB: 49140, Compute: "8.6", Driver: "580.65.06", CUDA: "13.0"}})
	}
	var all []deploy.Environment
	for i := range 4 {
		all = append(all, l.deployment(workload{name: fmt.Sprint("class-", i), layer: "unet", image: ref("unet", runs(1)), replicas: 3, gpus: 1}))
	}
	first := l.push("unet", runs(1))
	l.start(l.engine())
	for _, e := range all {
		l.await(e, deploy.Healthy, first)
	}
	second := l.push("unet", runs(2))
	for _, e := range all {
		l.await(e, deploy.Healthy, second)
	}
	for _, e := range all {
		clustertest.Await(t, "the strategy of "+e.String(), func(ctx context.Context) error {
			o, err := l.Client.AppsV1().Deployments(l.ns).Get(ctx, e.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			rolling := o.Spec.Strategy.RollingUpdate
			if rolling.MaxSurge.String() != "25%" || rolling.MaxUnavailable.String() != "25%" || o.Annotations["lab-layers.dev/strategy-before"] != "" {
				return fmt.Errorf("it has %v and %v", rolling.MaxSurge, rolling.MaxUnavailable)
			}
			if left := ownedBy(t, o.ObjectMeta, "lab-layers-rollout"); len(left) > 0 {
				return fmt.Errorf("we still own %v", left)
			}
			return nil
		})
	}
}

// TestPin takes an environment back, and keeps it there until it is resumed.
func TestPin(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "pin"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	l.start(l.engine())
	first := l.push("unet", runs(1))
	l.await(e, deploy.Healthy, first)
	l.await(e, deploy.Healthy, l.push("unet", runs(2)))

	history, err := l.store.RolloutsOf(t.Context(), e, 100)
	l.check(err)
	back := deploy.Before(history)
	back.By = "ada"
	l.check(l.store.Pin(t.Context(), *back))
	v := l.await(e, deploy.Healthy, first)
	if l.image(e) != ref("unet", runs(1)) || v.Pinned == nil || !v.Rollout.Pinned {
		t.Errorf("it was taken back to %s: %+v", l.image(e), v)
	}
	history, err = l.store.RolloutsOf(t.Context(), e, 100)
	l.check(err)
	if again := deploy.Before(history); again.Images["main"] != "registry.example/lab/unet:old" {
		t.Errorf("back once more is %s", again.Images["main"])
	}
	third := l.push("unet", runs(3))
	// Another environment shows when the release has been seen.
	other := l.deployment(workload{name: "other", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	l.await(other, deploy.Healthy, third)
	l.awaitSays(e, deploy.Healthy, "commit "+third.Short()+" of main waits for the pin to be taken off")
	if v := l.await(e, deploy.Healthy, first); l.image(e) != ref("unet", runs(1)) || v.Pinned == nil {
		t.Errorf("a push undid the pin: %s", l.image(e))
	}

	// To the images of a commit.
	commit, images, err := l.store.CommitImages(t.Context(), labURL, string(third[:10]))
	l.check(err)
	pin, missing := deploy.At(v.Standing, commit, images)
	if len(missing) > 0 {
		t.Fatal(missing)
	}
	l.check(l.store.Pin(t.Context(), *pin))
	l.awaitSays(e, deploy.Healthy, "")
	l.await(e, deploy.Healthy, third)
	fourth := l.push("unet", runs(4))
	l.await(other, deploy.Healthy, fourth)
	_, err = l.store.Resume(t.Context(), e)
	l.check(err)
	if v := l.await(e, deploy.Healthy, fourth); v.Pinned != nil || l.image(e) != ref("unet", runs(4)) {
		t.Errorf("it was resumed to %s: %+v", l.image(e), v)
	}
}

// TestDrift has somebody set images by hand.
func TestDrift(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "drift"})
	w := workload{name: "reported", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1}
	reported := l.deployment(w)
	w.name, w.annotations = "corrected", map[string]string{deploy.DriftAnnotation: "correct"}
	corrected := l.deployment(w)
	var log logged
	logs := func(e *deploy.Engine) { e.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	stop := l.start(l.engine(logs))
	first := l.push("unet", runs(1))
	edit := func(e deploy.Environment, image string) {
		t.Helper()
		l.await(e, deploy.Healthy, "")
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, image)
		_, err := l.Client.AppsV1().Deployments(l.ns).Patch(t.Context(), e.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"})
		l.check(err)
	}
	edit(reported, ref("unet", runs(9)))
	edit(corrected, ref("unet", runs(9)))
	has(t, l.await(reported, deploy.Drifted, "").Drift, "container main", runs(9), "by hand (somebody)", runs(1))
	clustertest.Await(t, "a rollout that corrects", func(context.Context) error {
		if v := l.listed(corrected); v.Rollout == nil || v.State != deploy.Healthy || v.Rollout.Images[0].From != ref("unet", runs(9)) {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
	const cause = "corrects container main has "
	if v := l.await(corrected, deploy.Healthy, first); !strings.HasPrefix(v.Rollout.Cause, cause) || v.Reason != "" {
		t.Errorf("its rollout began as it %s: %s", v.Rollout.Cause, v.Reason)
	}
	second := l.push("unet", runs(2))
	l.await(corrected, deploy.Healthy, second)
	// Who goes on setting it is not fought.
	for range 2 {
		edit(corrected, ref("unet", runs(9)))
		clustertest.Await(t, "another correction", func(context.Context) error {
			if got := l.image(corrected); got != ref("unet", runs(2)) {
				return fmt.Errorf("it has %s", got)
			}
			return nil
		})
	}
	edit(corrected, ref("unet", runs(9)))
	has(t, l.await(corrected, deploy.Drifted, "").Reason, "by hand", "3 corrections were undone")
	l.await(reported, deploy.Drifted, "")
	if got := l.image(reported); got != ref("unet", runs(9)) {
		t.Errorf("what was set by hand was replaced by %s", got)
	}
	stop()
	for _, told := range []struct {
		times int
		parts []string
	}{
		{1, []string{"level=WARN", "has drifted", "environment=" + reported.String(), "by hand (somebody)", "remedy=", "lab-layers resume " + reported.String()}},
		{1, []string{"level=WARN", "has drifted", "environment=" + corrected.String(), "3 corrections were undone"}},
		{3, []string{"level=WARN", "is replaced", "environment=" + corrected.String(), runs(9)}},
		{3, []string{"level=INFO", "msg=rollout ", "environment=" + corrected.String(), `cause="` + cause}},
	} {
		if got := log.about(told.parts...); len(got) != told.times {
			t.Errorf("%q: told %q", told.parts, got)
		}
	}
	l.start(l.engine(logs))
	_, err := l.store.Resume(t.Context(), reported)
	l.check(err)
	if v := l.await(reported, deploy.Healthy, second); v.Rollout.Cause != "resumed" {
		t.Errorf("its rollout began as it was %q", v.Rollout.Cause)
	}
	if got := log.about("has drifted", reported.String()); len(got) != 1 {
		t.Errorf("the next process told %q", got)
	}
}

// TestOnDelete leaves a StatefulSet's pods to the people who use them.
func TestOnDelete(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "sessions"})
	e := l.statefulSet(workload{name: "notebooks", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1, annotations: map[string]string{deploy.DeadlineAnnotation: "1s"}}, appsv1.OnDeleteStatefulSetStrategyType)
	clustertest.Await(t, "its pod to run", func(ctx context.Context) error {
		s, err := l.Client.AppsV1().StatefulSets(l.ns).Get(ctx, e.Name, metav1.GetOptions{})
		if err == nil && s.Status.AvailableReplicas != 1 {
			err = errors.New("not yet")
		}
		return err
	})
	l.start(l.engine())
	pushed := l.push("unet", runs(1))
	clustertest.Await(t, "the rollout to wait for people", func(context.Context) error {
		v := l.listed(e)
		if v == nil || v.State != deploy.Rolling || !strings.Contains(v.Reason, "each pod gets the image when somebody deletes it") {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
	pod, err := l.Client.CoreV1().Pods(l.ns).Get(t.Context(), "notebooks-0", metav1.GetOptions{})
	if err != nil || pod.Spec.Containers[0].Image != "registry.example/lab/unet:old" || l.image(e) != ref("unet", runs(1)) {
		t.Errorf("the pod was replaced: %v", err)
	}
	l.check(l.Client.CoreV1().Pods(l.ns).Delete(t.Context(), "notebooks-0", metav1.DeleteOptions{}))
	l.await(e, deploy.Healthy, pushed)
}
