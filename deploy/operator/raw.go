package operator

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// The API server takes values that Go's types do not, such as a quantity of
// 1e1.5. Where all objects of a kind are decoded together, one such in any
// namespace would stop them all. So what people write is watched as it is, and
// decoded one by one: a bad one harms only itself.

// raw is an object of one of our kinds as it is read, whatever it has.
func raw(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(api.Version().WithKind(kind))
	return u
}

func rawList(kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(api.Version().WithKind(kind + "List"))
	return list
}

// decode reads an object. Of one that cannot be, it reads what we wrote.
func decode(u *unstructured.Unstructured, into client.Object) error {
	converter := runtime.DefaultUnstructuredConverter
	unreadable := converter.FromUnstructured(u.Object, into)
	if unreadable != nil {
		ours := map[string]any{"metadata": u.Object["metadata"], "status": u.Object["status"]}
		if err := converter.FromUnstructured(ours, into); err != nil {
			return err
		}
	}
	return unreadable
}
