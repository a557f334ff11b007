package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// TestRefusedByAdmission has a policy of the cluster refuse the images for a
// while.
func TestRefusedByAdmission(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "admission"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: ref("unet", runs(0)), replicas: 1})
	l.start(l.engine())
	first := l.push("unet", runs(1))
	l.await(e, deploy.Healthy, first)
	policies := l.Client.AdmissionregistrationV1()
	here, resources := l.here("deployments", "apps")
	_, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admission.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Spec: admission.ValidatingAdmissionPolicySpec{MatchConstraints: resources, Validations: []admission.Validation{{
			Expression: "object.spec.template.spec.containers.all(c, !c.image.endsWith('2'))", Message: "images need a signature",
		}}},
	}, byTest)
	l.check(err)
	t.Cleanup(func() {
		_ = policies.ValidatingAdmissionPolicies().Delete(context.Background(), l.ns, metav1.DeleteOptions{})
	})
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admission.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Spec:       admission.ValidatingAdmissionPolicyBindingSpec{PolicyName: l.ns, MatchResources: here, ValidationActions: []admission.ValidationAction{admission.Deny}},
	}, byTest)
	l.check(err)
	unbind := func() {
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), l.ns, metav1.DeleteOptions{})
	}
	t.Cleanup(unbind)
	clustertest.Await(t, "the policy to hold", func(context.Context) error {
		if l.tryImage(e, ref("unet", runs(2))) == nil {
			return errors.New("it does not yet")
		}
		return nil
	})

	second := l.push("unet", runs(2))
	has(t, l.await(e, deploy.Pending, first).Reason, "images need a signature")
	unbind()
	l.await(e, deploy.Healthy, second)
}

// TestMirroredImages has the cluster take each pod's images from a mirror, as
// such clusters do that cannot reach a registry from everywhere.
func TestMirroredImages(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "mirror"})
	policies := l.Client.AdmissionregistrationV1()
	here, resources := l.here("pods", "")
	_, err := policies.MutatingAdmissionPolicies().Create(t.Context(), &admission.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Spec: admission.MutatingAdmissionPolicySpec{MatchConstraints: resources, ReinvocationPolicy: admission.NeverReinvocationPolicy, Mutations: []admission.Mutation{{
			PatchType: admission.PatchTypeJSONPatch,
			JSONPatch: &admission.JSONPatch{Expression: `[JSONPatch{op: "replace", path: "/spec/containers/0/image", value: object.spec.containers[0].image.replace("registry.example", "mirror.example")}]`},
		}}},
	}, byTest)
	l.check(err)
	_, err = policies.MutatingAdmissionPolicyBindings().Create(t.Context(), &admission.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Spec:       admission.MutatingAdmissionPolicyBindingSpec{PolicyName: l.ns, MatchResources: here},
	}, byTest)
	l.check(err)
	t.Cleanup(func() {
		_ = policies.MutatingAdmissionPolicyBindings().Delete(context.Background(), l.ns, metav1.DeleteOptions{})
		_ = policies.MutatingAdmissionPolicies().Delete(context.Background(), l.ns, metav1.DeleteOptions{})
	})
	e := l.deployment(workload{name: "unet", layer: "unet", image: ref("unet", runs(0)), replicas: 1})
	l.start(l.engine())
	n := 0
	clustertest.Await(t, "a pod with the mirror's image", func(ctx context.Context) error {
		n++
		l.await(e, deploy.Healthy, l.push("unet", runs(n)))
		pods, err := l.Client.CoreV1().Pods(l.ns).List(ctx, metav1.ListOptions{})
		l.check(err)
		for _, p := range pods.Items {
			if p.Spec.Containers[0].Image == "mirror.example/lab/unet@"+runs(n) {
				return nil
			}
		}
		return fmt.Errorf("there is none of %d", len(pods.Items))
	})
	l.await(e, deploy.Healthy, l.push("unet", runs(n+1)))
}

// here is what policies match in this namespace alone.
func (l *lab) here(resource, group string) (here, resources *admission.MatchResources) {
	here = &admission.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": l.ns}}}
	return here, &admission.MatchResources{ResourceRules: []admission.NamedRuleWithOperations{{RuleWithOperations: admission.RuleWithOperations{
		Operations: []admission.OperationType{admission.Create, admission.Update},
		Rule:       admission.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
	}}}}
}

// tryImage asks whether a Deployment could have an image, and changes nothing.
func (l *lab) tryImage(e deploy.Environment, image string) error {
	d, err := l.Client.AppsV1().Deployments(l.ns).Get(l.Context(), e.Name, metav1.GetOptions{})
	l.check(err)
	d.Spec.Template.Spec.Containers[0].Image = image
	_, err = l.Client.AppsV1().Deployments(l.ns).Update(l.Context(), d, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}
