package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/deploy/gpu"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func gated(l *lab) func(*deploy.Engine) {
	return func(e *deploy.Engine) {
		e.Gates = []deploy.Gate{gates.Calendar{Now: time.Now}, &gates.Driver{Images: l.store, Now: time.Now}}
		e.Last = []deploy.Gate{gates.Idle{Now: time.Now}}
		e.Tests = []deploy.Gate{&gates.Smoke{Client: l.Client, Parallel: 4, Now: time.Now}}
	}
}

// annotate sets annotations of a Deployment, or takes one away by null.
func (l *lab) annotate(e deploy.Environment, annotation, value string) {
	l.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, annotation, value)
	resource := strings.ToLower(string(e.Kind)) + "s"
	err := l.Client.AppsV1().RESTClient().Patch(types.MergePatchType).Namespace(e.Namespace).Resource(resource).Name(e.Name).Body(patch).Do(l.Context()).Error()
	l.check(err)
}

// TestDriverGate holds a rollout whose image no driver of its node can run, and
// lets it go on once the driver is upgraded. Of those that go on before, what the
// gate had to say is recorded.
func TestDriverGate(t *testing.T) {
	l := newLab(t)
	old := clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 4, MemoryMiB: 49140, Compute: "8.6", Driver: "550.54.14", CUDA: "12.4"}
	l.AddNode(t, clustertest.Node{Name: "gated-gpu", GPU: old})
	l.AddNode(t, clustertest.Node{Name: "gated-cpu"})
	wheel := "wheel: opt/conda/lib/python3.12/site-packages/torch-2.9.0+cu130.dist-info/METADATA"
	l.Found = map[string]pipeline.Metadata{runs(1): {
		CUDA:   &pipeline.Finding{Name: "cuda", Version: "13.0", Evidence: wheel},
		GPU:    pipeline.Finding{Name: pipeline.GPURequired, Evidence: wheel},
		Driver: &pipeline.Finding{Name: "driver", Version: "580.65.06", Evidence: wheel},
	}}
	e := l.deployment(workload{name: "resnet50", layer: "resnet50", image: "registry.example/lab/resnet50:old", replicas: 1, gpus: 1})
	without := l.deployment(workload{name: "reader", layer: "resnet50", image: "registry.example/lab/resnet50:old", replicas: 1})
	lenient := l.deployment(workload{name: "lenient", layer: "resnet50", image: "registry.example/lab/resnet50:old", replicas: 1, gpus: 1, annotations: map[string]string{gates.PolicyAnnotation: "warn"}})
	insisted := l.deployment(workload{name: "insisted", layer: "resnet50", image: "registry.example/lab/resnet50:old", replicas: 1, gpus: 1, annotations: map[string]string{gates.FreezeAnnotation: "0 * * * * for 1h"}})
	l.start(l.engine(gated(l)))
	commit := l.push("resnet50", runs(1))
	held := l.await(e, deploy.Held, "")
	const want = "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); node gated-gpu has 550.54.14; pin cu126 or upgrade"
	if held.Reason != want || held.Rollout.Remark != "" {
		t.Errorf("%s, remark %q\nwant %s", held.Reason, held.Rollout.Remark, want)
	}
	const frozen = "frozen (0 * * * * for 1h); it does not open within 400 days"
	for _, reason := range []string{frozen, want} { // one gate after the other
		l.awaitSays(insisted, deploy.Held, reason)
		_, err := l.store.Resume(t.Context(), insisted)
		l.check(err)
	}
	for e, remark := range map[deploy.Environment]string{lenient: want, insisted: "resumed while held: " + frozen + "; resumed while held: " + want} {
		if r := l.await(e, deploy.Healthy, commit).Rollout; r.Remark != remark {
			t.Errorf("%s: %q, want %q", e, r.Remark, remark)
		}
	}
	if r := l.await(without, deploy.Healthy, commit).Rollout; r.Remark != "" { // it asks for no GPU
		t.Errorf("%s: %q", without, r.Remark)
	}
	if got := l.image(e); got != "registry.example/lab/resnet50:old" {
		t.Errorf("it has %s", got)
	}
	_, err := l.Client.CoreV1().Nodes().Patch(t.Context(), "gated-gpu", types.MergePatchType, []byte(`{"metadata":{"labels":{
		"nvidia.com/cuda.driver-version.full":"580.95.05","nvidia.com/cuda.driver-version.major":"580","nvidia.com/cuda.driver-version.minor":"95","nvidia.com/cuda.driver-version.revision":"05",
		"nvidia.com/cuda.runtime-version.full":"13.0","nvidia.com/cuda.runtime-version.major":"13","nvidia.com/cuda.runtime-version.minor":"0"}}}`), metav1.PatchOptions{})
	l.check(err)
	l.await(e, deploy.Healthy, commit)
	// The next release has the gates asked anew.
	l.push("resnet50", runs(2))
	l.awaitSays(insisted, deploy.Held, frozen)
}

// TestUnseenNodes rolls without the right to list nodes, and says everywhere that
// the driver was not looked at.
func TestUnseenNodes(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "unseen", GPU: clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 2, MemoryMiB: 49140, Compute: "8.6", Driver: "550.54.14", CUDA: "12.4"}})
	w := workload{name: "lax", layer: "bert", image: "registry.example/lab/bert:old", replicas: 1, gpus: 1}
	lax := l.deployment(w)
	w.name, w.annotations = "strict", map[string]string{gates.PolicyAnnotation: "strict"}
	strict := l.deployment(w)
	w.name, w.gpus, w.annotations = "idle", 0, map[string]string{gates.IdleAnnotation: "15m"}
	idle := l.deployment(w)
	_, err := l.Client.RbacV1().Roles(l.ns).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"", "apps", "batch"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}, byTest)
	l.check(err)
	_, err = l.Client.RbacV1().RoleBindings(l.ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "agent"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: l.ns}},
	}, byTest)
	l.check(err)
	config := rest.CopyConfig(l.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: l.ns, Groups: []string{"system:authenticated"}}
	client, err := kubernetes.NewForConfig(config)
	l.check(err)
	l.start(l.engine(gated(l), func(e *deploy.Engine) { e.Client = client }))
	commit := l.push("bert", runs(1))
	const lacks = "the role lacks list on nodes in all namespaces"
	const unchecked = "bert: the driver could not be checked: " + lacks + "; grant that"
	const remedy = unchecked + ", or annotate lab-layers.dev/driver-policy: strict to hold rollouts without it"
	if r := l.await(lax, deploy.Healthy, commit).Rollout; r.Remark != remedy {
		t.Errorf("the remark is %q, want %q", r.Remark, remedy)
	}
	l.awaitSays(strict, deploy.Held, unchecked)
	l.awaitSays(idle, deploy.Held, "waits until idle for 15m; nodes cannot be seen: "+lacks)
	l.Release("refs/heads/feature", map[layers.Name]string{"bert": runs(2)})
	all, err := l.outlook(client).Touched(t.Context(), deploy.Merge{Repository: labURL, Into: mainRef, Images: map[layers.Name]string{"bert": "bert@" + runs(2)}})
	if err != nil || len(all) != 3 || all[0].Reason != unchecked || all[0].Verdict != deploy.Refuse || all[1].Verdict != deploy.Unknown || all[1].Reason != remedy {
		t.Errorf("the outlook is %+v, %v", all, err)
	}
}

// heldFor fails until an environment is held for a reason.
func (l *lab) heldFor(e deploy.Environment, reason string) func(context.Context) error {
	return func(context.Context) error {
		if v := l.listed(e); v == nil || v.State != deploy.Held || v.Reason != reason {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	}
}

func TestCalendarGate(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "gated-calendar"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1, annotations: map[string]string{
		gates.FreezeAnnotation: "0 * * * * for 1h",
	}})
	l.start(l.engine(gated(l)))
	commit := l.push("unet", runs(1))
	has(t, l.await(e, deploy.Held, "").Reason, "frozen (0 * * * * for 1h)")
	l.annotate(e, gates.FreezeAnnotation, "null")
	l.await(e, deploy.Healthy, commit)
}

// TestIdleGate holds a rollout while the GPUs of the node are in use on which the
// environment runs.
func TestIdleGate(t *testing.T) {
	l := newLab(t)
	l.pool("used", "other")
	e := l.deployment(workload{name: "unet", layer: "unet", image: ref("unet", runs(1)), replicas: 1, room: l.ns, annotations: map[string]string{gates.IdleAnnotation: "15m"}})
	var node string
	clustertest.Await(t, "its pod to run", func(ctx context.Context) error {
		pods, err := l.Client.CoreV1().Pods(l.ns).List(ctx, metav1.ListOptions{})
		if err == nil && (len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodRunning) {
			err = fmt.Errorf("there are %d", len(pods.Items))
		}
		if err == nil {
			node = pods.Items[0].Spec.NodeName
		}
		return err
	})
	tell := func(what string) {
		t.Helper()
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"{\"gpus\":[{}]}",%q:%q,%s}}}`, gpu.ReportAnnotation, gpu.SeenAnnotation, time.Now().Format(time.RFC3339), what)
		_, err := l.Client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
		l.check(err)
	}
	l.start(l.engine(gated(l)))
	commit := l.push("unet", runs(2))
	l.awaitReason(e, "waits until idle for 15m; node "+node+" does not tell: run lab-layers node-probe there")
	tell(`"lab-layers.dev/gpu.busy":"87 %, 2 processes"`)
	l.awaitReason(e, "waits until idle for 15m; node "+node+" busy (87 %, 2 processes)")
	since := fmt.Sprintf(`"lab-layers.dev/gpu.busy":null,"lab-layers.dev/gpu.idle-since":%q`, time.Now().Add(-time.Minute).Format(time.RFC3339))
	tell(since)
	l.awaitReason(e, "waits until idle for 15m; node "+node+" idle since ")
	l.annotate(e, gates.IdleAnnotation, `"30s"`)
	l.await(e, deploy.Healthy, commit)
}

// TestSmokeGate keeps an image that fails from an environment, and lets the next
// one through.
func TestSmokeGate(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "gated-smoke"})
	e := l.deployment(workload{name: "bert", layer: "bert", image: "registry.example/lab/bert:old", replicas: 1, annotations: map[string]string{
		gates.SmokeAnnotation: `["python","-c","import torch"]`,
	}})
	l.start(l.engine(gated(l)))
	l.push("bert", clustertest.Crashes.Digest(1))
	clustertest.Await(t, "the smoke test to fail", l.heldFor(e, "smoke test failed: exit code 1: Error"))
	if got := l.image(e); got != "registry.example/lab/bert:old" {
		t.Errorf("it has %s", got)
	}
	l.await(e, deploy.Healthy, l.push("bert", runs(1)))
}
