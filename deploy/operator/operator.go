package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// Records are what the operator reads.
type Records interface {
	// ListenReleases gives a hint whenever there may be new images. It ends with
	// the context.
	ListenReleases(ctx context.Context) (<-chan struct{}, error)
	// RefStates returns where the builds of the refs of some repositories stand.
	RefStates(ctx context.Context, urls []string) ([]deploy.RefState, error)
	// BuiltLayers returns how the layers of refs stand.
	BuiltLayers(ctx context.Context, of []deploy.RefState) ([]deploy.BuiltLayer, error)
	// Environments returns where the environments stand that are not gone.
	Environments(ctx context.Context) ([]deploy.Listed, error)
}

// Operator keeps custom resources and what they stand for in step. Its fields
// are set once, before Serve.
type Operator struct {
	Config  *rest.Config
	Records Records
	// Repositories that are mirrored: URLs by name.
	Repositories map[string]string
	// Registry is HOST/PREFIX as nodes reach it.
	Registry string
	// Namespace of the LabImages, and of the lease of the one that leads.
	Namespace string
	// Namespaces whose LabEnvironments are looked after; none is all.
	Namespaces []string
	Log        *slog.Logger
}

const (
	// fieldManager is the name under which fields are set.
	fieldManager = "lab-layers-operator"
	// lease is the name of what the one that leads holds.
	lease = "lab-layers-operator"
)

// Serve works while this process is the one that leads, and waits while another
// does, until the context ends. What the cluster lacks is waited for.
func (o *Operator) Serve(ctx context.Context) {
	told := ""
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := o.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			failures = 0
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			o.Log.Warn("custom resources are not served for now", "error", err)
		}
		pause(ctx, min(time.Duration(failures+1)*time.Second, 15*time.Second))
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// run works until the context ends, or the lead is lost.
func (o *Operator) run(ctx context.Context) error {
	if err := o.served(ctx); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return err
	}
	namespaces := map[string]cache.Config{}
	for _, name := range o.Namespaces {
		namespaces[name] = cache.Config{}
	}
	made, err := labels.NewRequirement(environmentLabel, selection.Exists, nil)
	if err != nil {
		return err
	}
	ours := cache.ByObject{Label: labels.NewSelector().Add(*made)}
	m, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme: scheme,
		Logger: logr.FromSlogHandler(slog.DiscardHandler), // see steady
		Cache: cache.Options{
			DefaultTransform:         cache.TransformStripManagedFields(),
			DefaultWatchErrorHandler: o.watchFailed(),
			DefaultNamespaces:        namespaces,
			ByObject: map[client.Object]cache.ByObject{
				&api.LabImage{}:      {Namespaces: map[string]cache.Config{o.Namespace: {}}},
				&appsv1.Deployment{}: ours, &corev1.Service{}: ours, &policyv1.PodDisruptionBudget{}: ours,
			},
		},
		LeaderElection: true, LeaderElectionID: lease, LeaderElectionNamespace: o.Namespace, LeaderElectionReleaseOnCancel: true,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true), CacheSyncTimeout: 30 * time.Second},
	})
	if err != nil {
		return err
	}
	if err := errors.Join(o.mirrorImages(m), o.makeEnvironments(m)); err != nil {
		return err
	}
	return m.Start(ctx)
}

// watchFailed tells of a watch that cannot be had, once; it is tried again.
func (o *Operator) watchFailed() func(context.Context, *toolscache.Reflector, error) {
	var mu sync.Mutex
	told := map[string]bool{}
	return func(ctx context.Context, _ *toolscache.Reflector, err error) {
		problem := deploy.Problem(err)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || told[problem] || apierrors.IsResourceExpired(err) || errors.Is(err, io.EOF) {
			return
		}
		told[problem] = true
		o.Log.Warn("cannot watch the cluster for now", "problem", problem)
	}
}

// served makes sure that the API server has the resources.
func (o *Operator) served(ctx context.Context) error {
	client, err := discovery.NewDiscoveryClientForConfig(o.Config)
	if err != nil {
		return err
	}
	_, err = client.ServerResourcesForGroupVersion(api.Version().String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster has no resources of %s: apply docs/examples/kubernetes/crds", api.Version())
	}
	return err
}
