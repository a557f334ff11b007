package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/opencontainers/go-digest"
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
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
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
	TaskRecords
}

// TaskRecords are what becomes of tasks, and what their images are chosen by.
type TaskRecords interface {
	// Submission returns what refs of a repository, some or, with tags, all Git
	// tags, had of a layer just before a moment, and what they got first from then
	// on.
	Submission(ctx context.Context, url string, refs []layers.Ref, tags bool, layer layers.Name, moment time.Time) (deploy.Submission, error)
	// Releases returns the newest release of each ref of a repository that is among
	// some or, with tags, is a Git tag.
	Releases(ctx context.Context, url string, refs []layers.Ref, tags bool) ([]deploy.Release, error)
	// ReleasedRefs returns the refs of a repository that have a release, the newest
	// first, as far as there is use in naming them.
	ReleasedRefs(ctx context.Context, url string) ([]layers.Ref, error)
	// LayerImage returns an image that a repository's layer has had; nil if there
	// is none of that digest.
	LayerImage(ctx context.Context, url string, layer layers.Name, d digest.Digest) (*deploy.LayerImage, error)
	// RecordTask records where a task stands. What is final stays.
	RecordTask(ctx context.Context, t deploy.Task) error
	// OpenTasks returns the tasks that have not ended.
	OpenTasks(ctx context.Context) ([]deploy.Task, error)
	// TaskGone records that the tasks of a name were deleted, as far as they had
	// not ended.
	TaskGone(ctx context.Context, namespace, name string) error
	// TaskEnds records when the program of a namespace's task that was deleted ended.
	TaskEnds(ctx context.Context, namespace, uid string, finished time.Time) error
}

// Operator keeps custom resources and what they stand for in step. Its fields
// are set once, before Serve.
type Operator struct {
	Config  *rest.Config
	Records Records
	// Repositories that are mirrored, and that tasks may name.
	Repositories deploy.Repositories
	// Registry is HOST/PREFIX as nodes reach it.
	Registry string
	// Namespace of the LabImages, and of the lease of the one that leads.
	Namespace string
	// Namespaces whose LabEnvironments and LabTasks are looked after; none is all.
	Namespaces []string
	// Identify fails where the records are another cluster's: nothing is done then.
	// Nil asks nobody.
	Identify func(context.Context) error
	Log      *slog.Logger
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
	told, again := "", false
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := o.run(ctx, again)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			failures, told = 0, ""
		}
		again = again || err != nil
		if errors.Is(err, errTasks) {
			failures, told = -1, ""
			continue
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

// run works until the context ends, or the lead is lost. Again says that it did not go
// on before, so that it is told when it does.
func (o *Operator) run(ctx context.Context, again bool) error {
	if o.Identify != nil {
		if err := o.Identify(ctx); err != nil {
			return err
		}
	}
	if err := o.served(ctx); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return err
	}
	direct, err := client.New(o.Config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	taskNamespaces, why, err := o.taskNamespaces(ctx, direct)
	if err != nil {
		return err
	}
	if why != "" {
		o.Log.Warn("LabTasks are not served for now", "problem", why, "served", taskNamespaces)
	}
	environmentsOnly, err := made(environmentLabel)
	if err != nil {
		return err
	}
	tasksOnly, err := made(taskLabel)
	if err != nil {
		return err
	}
	ours := cache.ByObject{Label: environmentsOnly}
	watched := taskCache(tasksOnly, configs(taskNamespaces))
	maps.Copy(watched, map[client.Object]cache.ByObject{
		&api.LabImage{}:      {Namespaces: configs([]string{o.Namespace})},
		&appsv1.Deployment{}: ours, &corev1.Service{}: ours, &policyv1.PodDisruptionBudget{}: ours,
	})
	m, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme: scheme,
		Logger: logr.FromSlogHandler(slog.DiscardHandler), // see steady
		Cache: cache.Options{
			DefaultTransform:         cache.TransformStripManagedFields(),
			DefaultWatchErrorHandler: o.watchFailed(),
			DefaultNamespaces:        configs(o.Namespaces),
			ByObject:                 watched,
		},
		Client:         client.Options{Cache: &client.CacheOptions{Unstructured: true}}, // see tasks.read
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
	if len(taskNamespaces) > 0 {
		if err := o.makeTasks(ctx, m, taskNamespaces); err != nil {
			return err
		}
	}
	if again {
		if err := m.Add(manager.RunnableFunc(func(context.Context) error {
			o.Log.Info("custom resources are served now", "tasks", len(taskNamespaces) > 0)
			return nil
		})); err != nil {
			return err
		}
	}
	if why != "" {
		if err := m.Add(manager.RunnableFunc(func(ctx context.Context) error { return o.watchRights(ctx, direct, taskNamespaces) })); err != nil {
			return err
		}
	}
	return m.Start(ctx)
}

// made selects what was made for what a label names.
func made(label string) (labels.Selector, error) {
	is, err := labels.NewRequirement(label, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	return labels.NewSelector().Add(*is), nil
}

// configs have a cache watch namespaces.
func configs(namespaces []string) map[string]cache.Config {
	all := map[string]cache.Config{}
	for _, name := range namespaces {
		all[name] = cache.Config{}
	}
	return all
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
	_, err = client.ServerResourcesForGroupVersionWithContext(ctx, api.Version().String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster has no resources of %s: apply docs/examples/kubernetes/crds", api.Version())
	}
	return err
}
