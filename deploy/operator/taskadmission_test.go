package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

func TestTasksThatAreRefused(t *testing.T) {
	l := newLab(t)
	for name, task := range map[string]*api.LabTask{
		"a name that no Job has":   l.task("a.b", nil),
		"nobody's":                 l.task("train", func(s *api.LabTaskSpec) { s.User = "" }),
		"a layer of several parts": l.task("train", func(s *api.LabTaskSpec) { s.Layer = "vision/bert" }),
		"track and digest": l.task("train", func(s *api.LabTaskSpec) {
			s.Track, s.Digest = "main", clustertest.Runs.Digest(1)
		}),
		"a short digest":      l.task("train", func(s *api.LabTaskSpec) { s.Digest = "sha256:12" }),
		"a deadline in words": l.task("train", func(s *api.LabTaskSpec) { s.Deadline = "an hour" }),
		"a long ttl":          l.task("train", func(s *api.LabTaskSpec) { s.TTL = "9999999h" }),
		"retries without end": l.task("train", func(s *api.LabTaskSpec) { s.Retries = 1000 }),
		"a queue of no label": l.task("train", func(s *api.LabTaskSpec) { s.Queue = "a b" }),
		"GPUs past the account": l.task("train", func(s *api.LabTaskSpec) {
			s.Container.Resources.Limits = corev1.ResourceList{clustertest.GPUResource: resource.MustParse("8")}
		}),
		"GPUs by another name": l.task("train", func(s *api.LabTaskSpec) { s.GPU = &api.Devices{Count: 1, Resource: "cpu"} }),
		"all GPUs of a node": l.task("train", func(s *api.LabTaskSpec) {
			s.Container.Env = []corev1.EnvVar{{Name: "SEED", Value: "1"}, {Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}}
		}),
		"the name of a smoke test": l.task("smoke-bert-0123456789", nil),
		"no GPUs, but of some":     l.task("train", func(s *api.LabTaskSpec) { s.GPU = &api.Devices{} }),
	} {
		if err := l.client.Create(t.Context(), task); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// What was submitted stays, and so does the image that was chosen.
	task := l.submit("train", nil)
	task.Spec.Container.Command = []string{"other"}
	if err := l.client.Update(t.Context(), task); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "submit another one") {
		t.Errorf("a change of the spec: %v", err)
	}
	l.check(l.client.Get(t.Context(), client.ObjectKeyFromObject(task), task))
	for _, c := range []struct {
		digest  string
		allowed bool
	}{{clustertest.Runs.Digest(1), true}, {clustertest.Runs.Digest(2), false}, {"", false}} {
		task.Status.Digest = c.digest
		if err := l.client.Status().Update(t.Context(), task); (err == nil) != c.allowed {
			t.Errorf("digest %q: %v", c.digest, err)
		}
	}
}

// TestTaskOfAnUnknownForm: what the API server takes, and the operator does not
// understand, harms no other task.
func TestTaskOfAnUnknownForm(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"user": "eve", "layer": "bert",
		"container": map[string]any{"resources": map[string]any{"limits": map[string]any{"cpu": "1e1.5"}}},
	}}}
	u.SetGroupVersionKind(api.Version().WithKind("LabTask"))
	u.SetNamespace(l.ns)
	u.SetName("bad")
	l.check(l.client.Create(t.Context(), u))
	l.operate()
	l.submit("good", nil)
	l.awaitTask("good", in("Succeeded", api.Complete, "True Succeeded"))
	l.await("the other to fail", func(ctx context.Context) error {
		if err := l.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
			return err
		}
		state, _, _ := unstructured.NestedString(u.Object, "status", "state")
		reason, _, _ := unstructured.NestedString(u.Object, "status", "reason")
		if state != "Failed" || !strings.Contains(reason, "quantities must match") {
			return fmt.Errorf("it is %q: %q", state, reason)
		}
		return nil
	})
	if r := l.recorded("bad"); r.User != "eve" || r.Layer != "bert" {
		t.Errorf("the record is %+v", r)
	}
}

// TestTaskPolicy: nobody submits for others, or to another's queue, with the
// rights and the policy of the examples.
func TestTaskPolicy(t *testing.T) {
	l := newLab(t)
	l.apply(examples + "/tasks.yaml")
	// It holds in this test's namespace alone.
	for _, name := range []string{"lab-layers-tasks", "lab-layers-tasks-deleted"} {
		var bound admissionv1.ValidatingAdmissionPolicyBinding
		l.check(l.client.Get(t.Context(), client.ObjectKey{Name: name}, &bound))
		bound.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"kubernetes.io/metadata.name": l.ns},
		}}
		l.check(l.client.Update(t.Context(), &bound))
		t.Cleanup(func() { l.check(l.client.Delete(context.Background(), &bound)) })
	}
	l.check(l.client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "submit"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lab-layers-submit"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "students"}},
	}))
	config := rest.CopyConfig(l.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "Ada@uni.example", Groups: []string{"students", "system:authenticated"}}
	ada, err := client.New(config, client.Options{Scheme: l.client.Scheme()})
	l.check(err)
	l.await("the policy to hold", func(ctx context.Context) error {
		err := ada.Create(ctx, l.task("forged", func(s *api.LabTaskSpec) { s.User = "grace@uni.example" }), client.DryRunAll)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "spec.user is who submits the task: Ada@uni.example") {
			return fmt.Errorf("a forged user: %w", err)
		}
		return nil
	})
	err = ada.Create(t.Context(), l.task("forged", func(s *api.LabTaskSpec) { s.User, s.Queue = "Ada@uni.example", "grace-at-uni.example" }))
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "spec.queue is your own: ada-at-uni.example") {
		t.Errorf("another's queue: %v", err)
	}
	for name, set := range map[string]func(*api.LabTask){
		"before others":            func(t *api.LabTask) { t.Spec.Scheduling.PriorityClassName = "system-cluster-critical" },
		"on nodes kept for others": func(t *api.LabTask) { t.Spec.Scheduling.Tolerations = []corev1.Toleration{{Operator: "Exists"}} },
		"that never goes":          func(t *api.LabTask) { t.Finalizers = []string{"example.com/never"} },
	} {
		task := l.task("own", func(s *api.LabTaskSpec) { s.User = "Ada@uni.example" })
		set(task)
		if err := ada.Create(t.Context(), task); !apierrors.IsForbidden(err) {
			t.Errorf("a task %s: %v", name, err)
		}
		task.Spec.User = "admin" // who may edit tasks
		if err := l.client.Create(t.Context(), task, client.DryRunAll); (err == nil) != (len(task.Finalizers) == 0) {
			t.Errorf("an administrator's task %s: %v", name, err)
		}
	}
	own := l.task("own", func(s *api.LabTaskSpec) { s.User, s.Queue = "Ada@uni.example", "ada-at-uni.example" })
	l.check(ada.Create(t.Context(), own))
	own.Status.State = "Succeeded"
	if err := ada.Status().Update(t.Context(), own); !apierrors.IsForbidden(err) {
		t.Errorf("a forged end: %v", err)
	}
	own.Spec.User = "grace@uni.example"
	if err := l.client.Update(t.Context(), own); !apierrors.IsInvalid(err) {
		t.Errorf("a user that is changed afterwards: %v", err)
	}
	// Nobody deletes another's, or has what runs stay behind.
	grace := rest.CopyConfig(config)
	grace.Impersonate.UserName = "grace@uni.example"
	other, err := client.New(grace, client.Options{Scheme: l.client.Scheme()})
	l.check(err)
	l.await("the policy of deletions to hold", func(ctx context.Context) error {
		if err := other.Delete(ctx, own, client.DryRunAll); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "it is the task of Ada@uni.example") {
			return fmt.Errorf("another's task: %w", err)
		}
		return nil
	})
	if err := ada.Delete(t.Context(), own, client.PropagationPolicy(metav1.DeletePropagationOrphan)); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "would run on") {
		t.Errorf("a task whose Job stays: %v", err)
	}
	l.check(client.IgnoreNotFound(l.client.Delete(t.Context(), own, client.DryRunAll)))
	agent, err := client.New(l.config(), client.Options{Scheme: l.client.Scheme()})
	l.check(err)
	l.check(agent.Delete(t.Context(), own, client.DryRunAll))
	l.check(ada.Delete(t.Context(), own))
}
