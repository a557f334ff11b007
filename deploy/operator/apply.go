package operator

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tree turns an object into what an apply patch has of it: a part, such as its
// status, or all but that.
func tree(scheme *runtime.Scheme, obj client.Object, status bool) (*unstructured.Unstructured, error) {
	gvks, _, err := scheme.ObjectKinds(obj)
	if err != nil {
		return nil, err
	}
	all, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: all}
	if status {
		named := &unstructured.Unstructured{Object: map[string]any{"status": all["status"]}}
		named.SetNamespace(obj.GetNamespace())
		named.SetName(obj.GetName())
		named.SetResourceVersion(obj.GetResourceVersion()) // where it counts which one was read
		u = named
	} else {
		delete(u.Object, "status")
	}
	u.SetGroupVersionKind(gvks[0])
	return u, nil
}

// apply gives an object the fields that it is to have by us, whoever had them.
func apply(ctx context.Context, c client.Client, obj client.Object) error {
	u, err := tree(c.Scheme(), obj, false)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s/%s: %w", u.GetKind(), obj.GetNamespace(), obj.GetName(), outdated(err))
	}
	return nil
}

// applyStatus does so with its status.
func applyStatus(ctx context.Context, c client.Client, obj client.Object) error {
	u, err := tree(c.Scheme(), obj, true)
	if err != nil {
		return err
	}
	if err := c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply the status of %s %s/%s: %w", u.GetKind(), obj.GetNamespace(), obj.GetName(), outdated(err))
	}
	return nil
}

// outdated says what to do about an API server whose resources know fewer fields
// than this program: those of the cluster are of an earlier version.
func outdated(err error) error {
	if !strings.Contains(err.Error(), "field not declared in schema") {
		return err
	}
	return fmt.Errorf("the resources of the cluster are older than this program: apply docs/examples/kubernetes/crds: %w", err)
}
