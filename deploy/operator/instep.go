package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// InStep lets the Deployment of a LabEnvironment roll once it has the settings that
// the LabEnvironment has now. Whoever rolls reads them from the Deployment, which is
// behind while no operator serves: after one was killed for as long as its lease
// lasts, and a window that was set then must hold all the same.
type InStep struct {
	// live reads what the API server has.
	live client.Reader
	now  func() time.Time
}

var _ deploy.Gate = (*InStep)(nil)

// NewInStep takes the access to a cluster.
func NewInStep(config *rest.Config, now func() time.Time) (*InStep, error) {
	scheme := runtime.NewScheme()
	if err := api.AddToScheme(scheme); err != nil {
		return nil, err
	}
	live, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	return &InStep{live, now}, nil
}

// Name makes it a [deploy.Gate].
func (*InStep) Name() string { return "operator" }

const (
	// unreadAgain is when a LabEnvironment is read again that could not be.
	unreadAgain = 30 * time.Second
	// followsWithin is for how long it is no news that an operator has not followed:
	// longer than a lease lasts.
	followsWithin = time.Minute
)

// Check refuses while the operator has something to do, and nobody can have a rollout
// go past that: what it would go past is not known yet. It asks once for an
// environment, and once more for a student's.
func (g *InStep) Check(ctx context.Context, c deploy.Candidate, _ []*corev1.Node) deploy.Verdict {
	if c.Owner != "LabEnvironment" {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	why, err := g.behind(ctx, c)
	switch {
	case err != nil:
		return deploy.Verdict{Answer: deploy.Refuse, Firm: true, Reason: "its LabEnvironment cannot be read: " + deploy.Problem(err), Until: g.now().Add(unreadAgain)}
	case why != "":
		v := deploy.Verdict{Answer: deploy.Refuse, Firm: true, Reason: why}
		if by := c.Queued.Add(followsWithin); g.now().Before(by) {
			v.Until = by
		}
		return v
	}
	return deploy.Verdict{Answer: deploy.Allow}
}

// behind says what the operator has to do yet; empty if nothing.
func (g *InStep) behind(ctx context.Context, c deploy.Candidate) (string, error) {
	e, err := g.read(ctx, c.Environment.Namespace, c.Environment.Name)
	if err != nil || e == nil {
		return "its LabEnvironment is no more", err
	}
	if by := metav1.GetControllerOf(e); by != nil && by.Kind == "LabEnvironment" {
		whole, err := g.read(ctx, e.Namespace, by.Name)
		if err != nil || whole == nil {
			return "the LabEnvironment of all students is no more", err
		}
		student := e.Labels[studentLabel]
		if !slices.Contains(whole.Spec.Students, student) || !equality.Semantic.DeepEqual(studentEnvironment(whole, student).Spec, e.Spec) {
			return fmt.Sprintf("LabEnvironment %s has changed: waits for the operator to change it, too", whole.Name), nil
		}
	}
	want, has := annotations(e), deploy.Set(c.Annotations)
	keys := maps.Clone(want)
	maps.Copy(keys, has)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if want[key] != has[key] {
			return fmt.Sprintf("its LabEnvironment has changed (%s): waits for the operator to change it, too", key), nil
		}
	}
	return "", nil
}

// read reads a LabEnvironment; nil if there is none.
func (g *InStep) read(ctx context.Context, namespace, name string) (*api.LabEnvironment, error) {
	u := raw("LabEnvironment")
	if err := g.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	e := &api.LabEnvironment{}
	if err := decode(u, e); err != nil {
		return nil, err
	}
	return e, nil
}
