package operator

import (
	"context"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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

// mirror keeps LabImages as the records are.
type mirror struct {
	*Operator
	client client.Client
	events events.EventRecorder
	// changed has the LabImages that the records say something new of.
	changed changes

	mu sync.Mutex
	// read is what was read of each ref, and wanted the LabImages by name; nil
	// until the records were read.
	read   map[refKey]deploy.RefState
	names  map[refKey][]string
	wanted map[string]*api.LabImage
}

type refKey struct {
	repository string
	ref        string
}

func (o *Operator) mirrorImages(m ctrl.Manager) error {
	r := &mirror{
		Operator: o, client: m.GetClient(), events: m.GetEventRecorder(lease),
		changed: make(changes), read: map[refKey]deploy.RefState{}, names: map[refKey][]string{},
	}
	if err := m.Add(manager.RunnableFunc(r.follow)); err != nil {
		return err
	}
	return builder.ControllerManagedBy(m).Named("labimage").For(&api.LabImage{}).
		WatchesRawSource(r.changed.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(newSteady(r, o.Log, "LabImage"))
}

// follow reads the records until the context ends.
func (r *mirror) follow(ctx context.Context) error {
	return r.watchRecords(ctx, "LabImages are not up to date", func(ctx context.Context) error {
		changed, err := r.refresh(ctx)
		for _, name := range changed {
			r.changed.look(ctx, types.NamespacedName{Namespace: r.Namespace, Name: name})
		}
		return err
	})
}

// refresh reads what is new in the records. It returns the names of LabImages
// that may have to be changed.
func (r *mirror) refresh(ctx context.Context) (changed []string, err error) {
	states, err := r.Records.RefStates(ctx, slices.Sorted(maps.Values(r.Repositories)))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[refKey]deploy.RefState{}
	var news []deploy.RefState
	for _, s := range states {
		key := refKey{s.Repository, string(s.Ref)}
		now[key] = s
		if s.Told != 0 && r.read[key] != s {
			news = append(news, s)
		}
	}
	built, err := r.Records.BuiltLayers(ctx, news)
	if err != nil {
		return nil, err
	}
	first := r.wanted == nil
	if first {
		r.wanted = map[string]*api.LabImage{}
		if changed, err = r.there(ctx); err != nil {
			r.wanted = nil
			return nil, err
		}
	}
	byRun := map[int64][]deploy.BuiltLayer{}
	for _, b := range built {
		byRun[b.Told] = append(byRun[b.Told], b)
	}
	forget := func(key refKey) {
		for _, name := range r.names[key] {
			delete(r.wanted, name)
			changed = append(changed, name)
		}
		delete(r.names, key)
	}
	for key := range r.read {
		if _, ok := now[key]; !ok {
			forget(key)
		}
	}
	for _, s := range news {
		key := refKey{s.Repository, string(s.Ref)}
		forget(key)
		for _, b := range byRun[s.Told] {
			i := image(s, b, r.Registry)
			i.Namespace = r.Namespace
			r.wanted[i.Name] = i
			r.names[key] = append(r.names[key], i.Name)
			changed = append(changed, i.Name)
		}
	}
	r.read = now
	slices.Sort(changed)
	return slices.Compact(changed), nil
}

// there are the LabImages that the cluster has, of whatever time.
func (r *mirror) there(ctx context.Context) (names []string, err error) {
	var list api.LabImageList
	if err := r.client.List(ctx, &list, client.InNamespace(r.Namespace)); err != nil {
		return nil, err
	}
	for _, i := range list.Items {
		names = append(names, i.Name)
	}
	return names, nil
}

// Reconcile makes one LabImage what the records say.
func (r *mirror) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r.mu.Lock()
	want, known := r.wanted[request.Name], r.wanted != nil
	r.mu.Unlock()
	if !known {
		return ctrl.Result{}, nil // all are looked at once the records are read
	}
	var is api.LabImage
	err := r.client.Get(ctx, request.NamespacedName, &is)
	switch {
	case apierrors.IsNotFound(err) && want == nil:
		return ctrl.Result{}, nil
	case apierrors.IsNotFound(err):
	case err != nil:
		return ctrl.Result{}, err
	case want == nil:
		return ctrl.Result{}, client.IgnoreNotFound(r.client.Delete(ctx, &is))
	}
	want = want.DeepCopy()
	if is.Spec != want.Spec {
		if err := apply(ctx, r.client, want); err != nil {
			return ctrl.Result{}, err
		}
	}
	before := is.Status
	conditions := slices.Clone(before.Conditions)
	for _, c := range want.Status.Conditions {
		meta.SetStatusCondition(&conditions, c)
	}
	want.Status.Conditions = conditions
	if equality.Semantic.DeepEqual(before, want.Status) {
		return ctrl.Result{}, nil
	}
	if err := applyStatus(ctx, r.client, want); err != nil {
		return ctrl.Result{}, err
	}
	r.tell(&is, want)
	return ctrl.Result{}, nil
}

// tell makes events of what people wait for.
func (r *mirror) tell(was, is *api.LabImage) {
	if was.Status.Run == 0 {
		return // it is new here, not in the records
	}
	failed := func(i *api.LabImage) bool { return meta.IsStatusConditionTrue(i.Status.Conditions, api.Degraded) }
	switch {
	case failed(is) && (!failed(was) || was.Status.Run != is.Status.Run):
		r.events.Eventf(was, nil, corev1.EventTypeWarning, "BuildFailed", "Build", "run %d: %s", is.Status.Run, is.Status.Reason)
	case is.Status.Digest != was.Status.Digest && is.Status.Digest != "":
		r.events.Eventf(was, nil, corev1.EventTypeNormal, "NewImage", "Build", "run %d recorded %s", is.Status.Run, is.Status.Digest)
	}
}
