package operator_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// TestOlderResources has the cluster know fewer fields than the operator, and
// then as many.
func TestOlderResources(t *testing.T) {
	l := newLab(t)
	now := l.resource("labimages.lab-layers.dev")
	older := now.DeepCopy()
	versions, _, err := unstructured.NestedSlice(older.Object, "spec", "versions")
	l.check(err)
	unstructured.RemoveNestedField(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "status", "properties", "reason")
	l.replace(older, versions)
	t.Cleanup(func() {
		versions, _, _ := unstructured.NestedSlice(now.Object, "spec", "versions")
		l.replace(now, versions)
	})
	one := clustertest.Runs.Digest(1)
	l.Release(mainRef, map[layers.Name]string{"bert": one})
	var told logged
	l.serve(l.operator(slog.New(slog.NewTextHandler(&told, nil))).Serve)
	l.await("the remedy to be told", func(context.Context) error {
		if log := told.String(); !strings.Contains(log, "apply docs/examples/kubernetes/crds") {
			return errors.New(log)
		}
		return nil
	})
	versions, _, err = unstructured.NestedSlice(now.Object, "spec", "versions")
	l.check(err)
	l.replace(now, versions)
	l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Digest == one })
}

// TestOperators has two operators, of which one ends, while the API server goes
// and comes back.
func TestOperators(t *testing.T) {
	l := newLab(t)
	one, two := clustertest.Runs.Digest(1), clustertest.Runs.Digest(2)
	l.Release(mainRef, map[layers.Name]string{"bert": one})
	stop := l.operate()
	l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Digest == one })
	l.operate()
	l.StopAPIServer()
	l.Release(mainRef, map[layers.Name]string{"bert": two})
	stop()
	l.check(l.StartAPIServer(t.Context()))
	l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Digest == two })
}

func (l *lab) resource(name string) *unstructured.Unstructured {
	l.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	l.check(l.client.Get(l.Context(), client.ObjectKey{Name: name}, u))
	return u
}

// replace gives a custom resource other versions.
func (l *lab) replace(resource *unstructured.Unstructured, versions []any) {
	l.Helper()
	clustertest.Await(l.TB, "the resource to be replaced", func(ctx context.Context) error {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(resource.GroupVersionKind())
		if err := l.client.Get(ctx, client.ObjectKeyFromObject(resource), now); err != nil {
			return err
		}
		l.check(unstructured.SetNestedSlice(now.Object, versions, "spec", "versions"))
		if err := l.client.Update(ctx, now); !apierrors.IsConflict(err) {
			l.check(err)
			return nil
		}
		return errors.New("somebody else changed it")
	})
}

// logged is what was logged.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// TestUnreadableEnvironment has one that the API server takes and Go's types do
// not. Others go on.
func TestUnreadableEnvironment(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"layer": "bert", "container": map[string]any{"resources": map[string]any{"limits": map[string]any{"cpu": "1e1.5"}}},
	}}}
	u.SetGroupVersionKind(api.Version().WithKind("LabEnvironment"))
	u.SetNamespace(l.ns)
	u.SetName("unreadable")
	l.check(l.client.Create(t.Context(), u))
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	l.operate()
	l.roll()
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", nil)))
	l.await("the unreadable one to be told of", func(ctx context.Context) error {
		if err := l.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
			return err
		}
		if state, _, _ := unstructured.NestedString(u.Object, "status", "state"); state != "faulty" {
			return errors.New("it is " + state)
		}
		return nil
	})
	if reason, _, _ := unstructured.NestedString(u.Object, "status", "reason"); !strings.Contains(reason, "quantities must match") {
		t.Errorf("the reason is %q", reason)
	}
	var e unstructured.Unstructured // the typed list would not be read
	e.SetGroupVersionKind(u.GroupVersionKind())
	l.await("the other to be ready", func(ctx context.Context) error {
		if err := l.client.Get(ctx, client.ObjectKey{Namespace: l.ns, Name: "bert"}, &e); err != nil {
			return err
		}
		if state, _, _ := unstructured.NestedString(e.Object, "status", "state"); state != "healthy" {
			return errors.New("it is " + state)
		}
		return nil
	})
}
