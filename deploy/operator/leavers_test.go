package operator

import (
	"context"
	"errors"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// leavers is a cluster that has environments of students who have left, and removes
// only some.
type leavers struct {
	client.Client
	there []unstructured.Unstructured
	stuck string
	left  []string
}

func (l *leavers) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*unstructured.UnstructuredList).Items = l.there
	return nil
}

var errStuck = errors.New("it cannot be removed")

func (l *leavers) Delete(_ context.Context, of client.Object, _ ...client.DeleteOption) error {
	if of.GetName() == l.stuck {
		return errStuck
	}
	l.left = append(l.left, of.GetName())
	return nil
}

// TestStudentsLeave: what keeps one environment from being removed keeps no other.
func TestStudentsLeave(t *testing.T) {
	e := &api.LabEnvironment{}
	e.Namespace, e.Name, e.UID = "vision", "lab", "1"
	l := &leavers{stuck: "lab-ada"}
	for _, student := range []string{"ada", "emmy", "grace", "kurt"} {
		u := raw("LabEnvironment")
		of := studentEnvironment(e, student)
		u.SetName(of.Name)
		u.SetOwnerReferences(of.OwnerReferences)
		l.there = append(l.there, *u)
	}
	r := &environments{client: l}
	there, problem := r.forStudents(t.Context(), e)
	slices.Sort(l.left)
	if len(there) != 0 || !errors.Is(problem, errStuck) || !slices.Equal(l.left, []string{"lab-emmy", "lab-grace", "lab-kurt"}) {
		t.Errorf("%d are there, %q were removed, %v", len(there), l.left, problem)
	}
}
