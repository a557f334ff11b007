package operator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// environments make workloads of LabEnvironments, and mirror where they stand.
type environments struct {
	*Operator
	client client.Client
	// live reads past the cache, which has only what is ours.
	live    client.Reader
	events  events.EventRecorder
	changed changes

	mu sync.Mutex
	// applied is what was made of each environment: see mark.
	applied map[types.NamespacedName]string
	// listed is what the records say.
	listed map[types.NamespacedName]deploy.Listed
}

func (o *Operator) makeEnvironments(m ctrl.Manager) error {
	r := &environments{
		Operator: o, client: m.GetClient(), live: m.GetAPIReader(), events: m.GetEventRecorder(lease),
		changed: make(changes), applied: map[types.NamespacedName]string{}, listed: map[types.NamespacedName]deploy.Listed{},
	}
	if err := m.Add(manager.RunnableFunc(r.follow)); err != nil {
		return err
	}
	return builder.ControllerManagedBy(m).Named("labenvironment").For(raw("LabEnvironment")).
		Owns(raw("LabEnvironment")).Owns(&appsv1.Deployment{}).Owns(&corev1.Service{}).Owns(&policyv1.PodDisruptionBudget{}).
		WatchesRawSource(r.changed.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(newSteady(r, o.Log, "LabEnvironment"))
}

// Reconcile makes what one LabEnvironment asks for, and tells where it stands.
func (r *environments) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	u := raw("LabEnvironment")
	if err := r.client.Get(ctx, request.NamespacedName, u); err != nil || u.GetDeletionTimestamp() != nil {
		r.mu.Lock()
		delete(r.applied, request.NamespacedName)
		r.mu.Unlock()
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var e api.LabEnvironment
	if unreadable := decode(u, &e); unreadable != nil {
		is := status(&e, &appsv1.Deployment{}, deploy.Listed{Standing: deploy.Standing{State: deploy.Faulty}}, unreadable)
		err := r.told(ctx, &e, is)
		if err == nil && (e.Status.State != is.State || e.Status.Reason != is.Reason) {
			r.Log.Warn("LabEnvironment is faulty", "object", request.NamespacedName, "reason", is.Reason, "remedy", "mend it: it stays as it is meanwhile")
		}
		return ctrl.Result{}, err
	}
	if len(e.Spec.Students) > 0 {
		there, problem := r.forStudents(ctx, &e)
		if err := r.told(ctx, &e, together(&e, there, problem)); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, problem
	}
	d, problem := r.make(ctx, &e)
	if d == nil {
		d = &appsv1.Deployment{}
	}
	r.mu.Lock()
	listed, known := r.listed[request.NamespacedName]
	r.mu.Unlock()
	if !known || listed.UID != string(d.UID) {
		listed = deploy.Listed{Standing: deploy.Standing{State: deploy.Waiting}}
	}
	if err := r.told(ctx, &e, status(&e, d, listed, problem)); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, problem
}

// told tells where an environment stands, if that is news.
func (r *environments) told(ctx context.Context, e *api.LabEnvironment, is api.LabEnvironmentStatus) error {
	for i := range is.Conditions {
		is.Conditions[i].ObservedGeneration = e.Generation
	}
	conditions := append([]metav1.Condition{}, e.Status.Conditions...)
	for _, c := range is.Conditions {
		meta.SetStatusCondition(&conditions, c)
	}
	is.Conditions = conditions
	if equality.Semantic.DeepEqual(e.Status, is) {
		return nil
	}
	told := &api.LabEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name}, Status: is}
	if err := applyStatus(ctx, r.client, told); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.tell(e, is)
	return nil
}

// make brings the objects of an environment about. It returns the Deployment as
// it was before; nil if there was none.
func (r *environments) make(ctx context.Context, e *api.LabEnvironment) (*appsv1.Deployment, error) {
	key := client.ObjectKeyFromObject(e)
	d, err := find(ctx, r.client, key, &appsv1.Deployment{}, e)
	if err != nil {
		return nil, err
	}
	s, err := find(ctx, r.client, key, &corev1.Service{}, e)
	if err != nil {
		return d, err
	}
	b, err := find(ctx, r.client, key, &policyv1.PodDisruptionBudget{}, e)
	if err != nil {
		return d, err
	}
	if d != nil && len(d.Spec.Template.Spec.SchedulingGates) > 0 && imageOf(d) != deploy.NoImage {
		if err := r.release(ctx, d); err != nil {
			return d, err
		}
	}
	r.mu.Lock()
	done := d != nil && r.applied[key] == mark(e, d, s, b)
	r.mu.Unlock()
	if done {
		return d, nil
	}
	// What is not in the cache may be somebody else's.
	if d == nil {
		if d, err = find(ctx, r.live, key, &appsv1.Deployment{}, e); err != nil {
			return nil, err
		}
	}
	if s == nil && service(e) != nil {
		if _, err := find(ctx, r.live, key, &corev1.Service{}, e); err != nil {
			return d, err
		}
	}
	if b == nil {
		if _, err := find(ctx, r.live, key, &policyv1.PodDisruptionBudget{}, e); err != nil {
			return d, err
		}
	}
	if d == nil {
		if err := r.reserve(ctx, e); err != nil {
			return nil, err
		}
	}
	generation, err := r.applyDeployment(ctx, d, deployment(e))
	if err != nil {
		return d, err
	}
	if want := service(e); want != nil {
		err = apply(ctx, r.client, want)
	} else if s != nil {
		err = client.IgnoreNotFound(r.client.Delete(ctx, s))
	}
	if err != nil {
		return d, err
	}
	if err := apply(ctx, r.client, budget(e)); err != nil {
		return d, err
	}
	if d != nil { // else all are about to be seen anew
		now := d.DeepCopy()
		now.Generation = generation
		r.mu.Lock()
		r.applied[key] = mark(e, now, s, b)
		r.mu.Unlock()
	}
	return d, nil
}

// applyDeployment applies all but the image. It returns the generation that the
// Deployment has then. was is nil where there was none.
func (r *environments) applyDeployment(ctx context.Context, was, d *appsv1.Deployment) (int64, error) {
	if was != nil && was.Spec.Strategy.RollingUpdate != nil && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		// What the API server put there by itself would not go with an apply.
		patch := fmt.Appendf(nil, `{"metadata":{"uid":%q},"spec":{"strategy":{"type":%q,"rollingUpdate":null}}}`, was.UID, d.Spec.Strategy.Type)
		if err := r.client.Patch(ctx, d.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager)); err != nil {
			return 0, fmt.Errorf("patch Deployment %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	u, err := tree(r.client.Scheme(), d, false)
	if err != nil {
		return 0, err
	}
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return 0, fmt.Errorf("apply Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return u.GetGeneration(), nil
}

// mark tells what was made of what: nothing is sent again while neither has
// changed.
func mark(e *api.LabEnvironment, d *appsv1.Deployment, s *corev1.Service, b *policyv1.PodDisruptionBudget) string {
	text := fmt.Sprint(e.UID, e.Generation, d.UID, d.Generation)
	if s != nil {
		text += " " + s.ResourceVersion
	}
	if b != nil {
		text += fmt.Sprint(" ", b.UID, b.Generation)
	}
	return text
}

// taken says that an object of the name is not the owner's.
type taken struct{ what string }

func (t taken) Error() string {
	of := "environment"
	if t.what == "Job" {
		of = "task"
	}
	return "a " + t.what + " of this name is not of this " + of + ": delete it, or take another name"
}

// find reads an object that is an owner's; nil if there is none.
func find[T interface {
	*appsv1.Deployment | *corev1.Service | *policyv1.PodDisruptionBudget | *batchv1.Job
	client.Object
}](ctx context.Context, from client.Reader, key types.NamespacedName, obj T, owner metav1.Object) (T, error) {
	err := from.Get(ctx, key, obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case !metav1.IsControlledBy(obj, owner):
		return nil, taken{strings.TrimPrefix(fmt.Sprintf("%T", obj), "*v1.")}
	}
	return obj, nil
}

// imageOf is the image of the main container.
func imageOf(d *appsv1.Deployment) string {
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == mainContainer {
			return c.Image
		}
	}
	return ""
}

// follow reads where the environments stand until the context ends.
func (r *environments) follow(ctx context.Context) error {
	return r.watchRecords(ctx, "LabEnvironments are not up to date", func(ctx context.Context) error {
		there := rawList("LabEnvironment")
		if err := r.client.List(ctx, there, client.Limit(1)); err != nil || len(there.Items) == 0 {
			return err
		}
		all, err := r.Records.Environments(ctx)
		if err != nil {
			return err
		}
		listed := map[types.NamespacedName]deploy.Listed{}
		for _, l := range all {
			if l.Environment.Kind == deploy.Deployment {
				listed[types.NamespacedName{Namespace: l.Environment.Namespace, Name: l.Environment.Name}] = l
			}
		}
		r.mu.Lock()
		before := r.listed
		r.listed = listed
		r.mu.Unlock()
		for key, l := range listed {
			if was, ok := before[key]; !ok || news(was, l) {
				r.changed.look(ctx, key)
			}
		}
		return nil
	})
}

// news reports whether an environment has come to stand elsewhere, or was pinned or
// resumed: a pin alone changes nothing of where it stands.
func news(was, is deploy.Listed) bool {
	since := func(l deploy.Listed) (at time.Time) {
		if l.Pinned != nil {
			at = l.Pinned.Since
		}
		return at
	}
	return !was.Changed.Equal(is.Changed) || !since(was).Equal(since(is))
}
