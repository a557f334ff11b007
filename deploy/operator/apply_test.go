package operator

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// TestTree sends no null, which the API server takes for no object: not even of a
// status that says nothing.
func TestTree(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := api.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, obj := range []client.Object{&api.LabEnvironment{}, &api.LabImage{}, &api.LabTask{}} {
		u, err := tree(scheme, obj, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range nulls("", u.Object) {
			t.Errorf("%T has null at %s", obj, path)
		}
	}
}

// nulls are the paths of what is null.
func nulls(at string, value any) (paths []string) {
	switch v := value.(type) {
	case nil:
		return []string{at}
	case map[string]any:
		for key, value := range v {
			paths = append(paths, nulls(fmt.Sprint(at, ".", key), value)...)
		}
		if len(v) == 0 && at != ".status" {
			paths = append(paths, at) // which an apply patch makes null of
		}
	}
	return paths
}
