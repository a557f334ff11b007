package operator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/postgres/postgrestest"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/deploy/operator"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// The parts that all tests share: a control plane with the custom resources, and
// a PostgreSQL. Each test has a namespace and a schema of its own.
var (
	shared  clustertest.Shared
	records postgrestest.Shared
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler))
	code := shared.Run(m)
	records.Stop()
	os.Exit(code)
}

const (
	labURL   = "https://git.example/lab.git"
	registry = "registry.example/lab"
	mainRef  = layers.Ref("refs/heads/main")
	examples = "../../docs/examples/kubernetes"
)

// lab is a repository's records and a namespace, as an administrator sees them.
type lab struct {
	testing.TB
	*clustertest.Cluster
	*postgrestest.Repository
	client client.Client
	store  *postgres.Store
	ns     string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{TB: t, Cluster: shared.Get(t)}
	scheme := runtime.NewScheme()
	l.check(errors.Join(clientgoscheme.AddToScheme(scheme), api.AddToScheme(scheme)))
	var err error
	l.client, err = client.New(l.Config, client.Options{Scheme: scheme})
	l.check(err)
	l.ns = l.Namespace(t)
	files, err := filepath.Glob(examples + "/crds/lab-layers.dev_*.yaml")
	l.check(err)
	for _, file := range files {
		l.apply(file)
	}
	l.apply(examples + "/operator.yaml")
	l.apply(examples + "/rollouts.yaml")
	for _, role := range []string{"lab-layers-rollouts", "lab-layers-environments", "lab-layers-tasks"} {
		l.check(l.client.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: l.ns, Name: "agent"}},
		}))
	}
	l.await("the resources to be served", func(ctx context.Context) error {
		return errors.Join(
			l.client.List(ctx, &api.LabImageList{}, client.InNamespace(l.ns)),
			l.client.List(ctx, &api.LabEnvironmentList{}, client.InNamespace(l.ns)),
			l.client.List(ctx, &api.LabTaskList{}, client.InNamespace(l.ns)))
	})
	l.store = records.Open(t)
	l.Repository = postgrestest.NewRepository(t, l.store, labURL)
	return l
}

func (l *lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) await(what string, try func(context.Context) error) {
	l.Helper()
	clustertest.Await(l.TB, what, try)
}

// apply makes the objects of a file, those of a namespace in the test's.
func (l *lab) apply(file string) {
	l.Helper()
	f, err := os.Open(file)
	l.check(err)
	defer f.Close()
	for decoder := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var u unstructured.Unstructured
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			l.Fatal(err)
		}
		if kind := u.GetKind(); kind == "Role" || kind == "RoleBinding" || kind == "ServiceAccount" {
			u.SetNamespace(l.ns)
		}
		if u.GetKind() == "RoleBinding" {
			l.check(unstructured.SetNestedSlice(u.Object, []any{map[string]any{
				"kind": rbacv1.ServiceAccountKind, "name": "agent", "namespace": l.ns,
			}}, "subjects"))
		}
		err := l.client.Create(l.Context(), &u)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			l.Fatal(err)
		}
	}
}

// config is that of the service account that the examples give rights to.
func (l *lab) config() *rest.Config {
	config := rest.CopyConfig(l.Config)
	config.Impersonate.UserName = "system:serviceaccount:" + l.ns + ":agent"
	config.Impersonate.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + l.ns, "system:authenticated"}
	return config
}

// operate serves the custom resources until the test ends, or it is stopped.
func (l *lab) operate() (stop func()) { return l.serve(l.operator(l.log()).Serve) }

func (l *lab) operator(log *slog.Logger) *operator.Operator {
	return &operator.Operator{
		Config: l.config(), Records: l.store, Repositories: map[string]string{"": labURL}, Registry: registry,
		Namespace: l.ns, Namespaces: []string{l.ns}, Log: log,
	}
}

func (l *lab) log() *slog.Logger { return slog.New(slog.NewTextHandler(l.Output(), nil)) }

// roll has the engine deploy until the test ends.
func (l *lab) roll() {
	client, err := kubernetes.NewForConfig(l.config())
	l.check(err)
	inStep, err := operator.NewInStep(l.config(), time.Now)
	l.check(err)
	e := &deploy.Engine{
		Gates: []deploy.Gate{gates.Calendar{Now: time.Now}}, Last: []deploy.Gate{inStep},
		Client: client, Store: l.store, Repositories: map[string]string{"": labURL}, Registry: registry,
		Namespaces: []string{l.ns}, Settings: gates.Settings{}, Now: time.Now, Log: l.log(),
	}
	l.serve(e.Serve)
}

// serve runs something until the test ends, or it is stopped.
func (l *lab) serve(run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	l.Cleanup(stop)
	return stop
}

// eventsOf are the events of an object: reason and message, a line each.
func (l *lab) eventsOf(ctx context.Context, obj client.Object) (string, error) {
	var list corev1.EventList
	if err := l.client.List(ctx, &list, client.InNamespace(obj.GetNamespace())); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range list.Items {
		if e.InvolvedObject.Name == obj.GetName() {
			fmt.Fprintln(&b, e.Reason, e.Message)
		}
	}
	return b.String(), nil
}

// condition is a condition's status and reason.
func condition(conditions []metav1.Condition, kind string) string {
	for _, c := range conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return "none"
}
