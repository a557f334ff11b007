package clustertest

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace makes a namespace for a test, ready for pods, and returns its name.
// When the test ends its pods are gone at once, the rest soon. If the test
// failed, what happened in it is logged.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ctx := t.Context()
	ns, err := c.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := ns.Name
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("in namespace %s:\n%s", name, c.story(context.Background(), name))
		}
		if err := c.empty(context.Background(), name); err != nil {
			t.Errorf("remove namespace %s: %v", name, err)
		}
	})
	Await(t, "an account for the pods of "+name, func(ctx context.Context) error { return c.accountIn(ctx, name) })
	return name
}

// empty marks a namespace for removal, so that nothing can be made in it, and
// takes its pods off the nodes.
func (c *Cluster) empty(ctx context.Context, name string) error {
	if err := c.Client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	return c.Client.CoreV1().Pods(name).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{})
}

// story is the pods and events of a namespace, or why they are not known.
func (c *Cluster) story(ctx context.Context, name string) string {
	pods, err := c.Client.CoreV1().Pods(name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var b []byte
	for _, p := range pods.Items {
		b = fmt.Appendf(b, "pod %s on %q: %s", p.Name, p.Spec.NodeName, p.Status.Phase)
		for _, s := range p.Status.ContainerStatuses {
			b = fmt.Appendf(b, ", %s %s ready=%t", s.Name, s.Image, s.Ready)
			if s.State.Waiting != nil {
				b = fmt.Appendf(b, " %s", s.State.Waiting.Reason)
			}
		}
		b = append(b, '\n')
	}
	events, err := c.Client.CoreV1().Events(name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	for _, e := range events.Items {
		b = fmt.Appendf(b, "%s %s/%s %s: %s\n", e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return string(b)
}
