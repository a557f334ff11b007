package operator

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// A Deployment cannot be without an image, and which one it gets the engine
// decides, when the gates allow. So it is made with a placeholder, and its pods
// are gated off the nodes. Both are set under a field manager of their own: the
// engine takes the image over, and the gate goes as this manager lets go. What is
// applied afterwards never has an image.

// waitingManager is that field manager.
const waitingManager = "lab-layers-operator-waiting"

// reserve makes a Deployment that has no image yet. One that has come meanwhile
// is left as it is: that is a conflict.
func (r *environments) reserve(ctx context.Context, e *api.LabEnvironment) error {
	d := &appsv1.Deployment{ObjectMeta: object(e)}
	full := deployment(e)
	d.Spec.Replicas, d.Spec.Selector, d.Spec.Template.Labels = new(int32(0)), full.Spec.Selector, full.Spec.Template.Labels
	d.Spec.Strategy.Type = full.Spec.Strategy.Type // a default of the API server's would be in the way of another
	d.Spec.Template.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: imageGate}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: mainContainer, Image: deploy.NoImage}}
	u, err := tree(r.client.Scheme(), d, false)
	if err != nil {
		return err
	}
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(waitingManager)); err != nil {
		return fmt.Errorf("make Deployment %s/%s: %w", e.Namespace, e.Name, err)
	}
	return nil
}

// release lets the pods of a Deployment that has got an image come to nodes.
func (r *environments) release(ctx context.Context, d *appsv1.Deployment) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	u.SetNamespace(d.Namespace)
	u.SetName(d.Name)
	u.SetUID(d.UID) // one that was deleted meanwhile is not made anew
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(waitingManager)); err != nil {
		return fmt.Errorf("let the pods of Deployment %s/%s come: %w", d.Namespace, d.Name, err)
	}
	return nil
}
