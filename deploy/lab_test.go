package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/postgres/postgrestest"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
)

// The parts that all tests share: a control plane and a PostgreSQL. Each test
// has a namespace and a schema of its own.
var (
	shared  clustertest.Shared
	records postgrestest.Shared
)

func TestMain(m *testing.M) {
	code := shared.Run(m)
	records.Stop()
	os.Exit(code)
}

const (
	labURL   = "https://git.example/lab.git"
	registry = "registry.example/lab"
	mainRef  = layers.Ref("refs/heads/main")
)

// lab is a repository's records and the workloads of a namespace.
type lab struct {
	testing.TB
	*clustertest.Cluster
	*postgrestest.Repository
	store *postgres.Store
	ns    string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{TB: t, Cluster: shared.Get(t)}
	l.ns = l.Namespace(t)
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

// push is a release of one layer on main.
func (l *lab) push(layer layers.Name, d string) layers.Commit {
	l.Helper()
	return l.Release(mainRef, map[layers.Name]string{layer: d})
}

// engine is one that deploys the lab's releases.
func (l *lab) engine(change ...func(*deploy.Engine)) *deploy.Engine {
	e := &deploy.Engine{
		Client: l.Client, Store: l.store, Repositories: map[string]string{"": labURL}, Registry: registry,
		Namespaces: []string{l.ns}, Settings: gates.Settings{}, Now: time.Now, Log: slog.New(slog.NewTextHandler(l.Output(), nil)),
	}
	for _, c := range change {
		c(e)
	}
	return e
}

// start serves an engine until the test ends, or the returned function is
// called.
func (l *lab) start(e *deploy.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Serve(ctx)
	}()
	stop = func() { cancel(); <-done }
	l.Cleanup(stop)
	return stop
}

// workload is what tests make in the cluster.
type workload struct {
	name        string
	layer       string
	image       string
	replicas    int32
	gpus        int64
	annotations map[string]string
	untracked   bool
	room        string // label of the nodes that it may run on; empty is any
}

func (l *lab) meta(w workload) metav1.ObjectMeta {
	annotations := map[string]string{deploy.LayerAnnotation + "main": w.layer, deploy.TrackAnnotation: "main"}
	if w.untracked {
		delete(annotations, deploy.TrackAnnotation)
	}
	maps.Copy(annotations, w.annotations)
	return metav1.ObjectMeta{Name: w.name, Namespace: l.ns, Annotations: annotations}
}

func (w workload) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": w.name}}
}

func (w workload) template(restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	c := corev1.Container{Name: "main", Image: w.image}
	if w.gpus > 0 {
		list := corev1.ResourceList{clustertest.GPUResource: *resource.NewQuantity(w.gpus, resource.DecimalSI)}
		c.Resources = corev1.ResourceRequirements{Requests: list, Limits: list}
	}
	var nodes map[string]string
	if w.room != "" {
		nodes = map[string]string{"room": w.room}
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": w.name}},
		Spec: corev1.PodSpec{
			NodeSelector: nodes,
			Containers:   []corev1.Container{c, {Name: "sidecar", Image: "registry.example/proxy:1"}}, RestartPolicy: restart,
			TerminationGracePeriodSeconds: new(int64(0)),
		},
	}
}

var byTest = metav1.CreateOptions{FieldManager: "test"}

func (l *lab) deployment(w workload) deploy.Environment {
	l.Helper()
	_, err := l.Client.AppsV1().Deployments(l.ns).Create(l.Context(), &appsv1.Deployment{
		ObjectMeta: l.meta(w),
		Spec:       appsv1.DeploymentSpec{Replicas: &w.replicas, Selector: w.selector(), Template: w.template("")},
	}, byTest)
	l.check(err)
	return deploy.Environment{Namespace: l.ns, Kind: deploy.Deployment, Name: w.name}
}

func (l *lab) statefulSet(w workload, how appsv1.StatefulSetUpdateStrategyType, change ...func(*appsv1.StatefulSet)) deploy.Environment {
	l.Helper()
	set := &appsv1.StatefulSet{
		ObjectMeta: l.meta(w),
		Spec: appsv1.StatefulSetSpec{
			Replicas: &w.replicas, Selector: w.selector(), Template: w.template(""), UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: how},
		},
	}
	for _, c := range change {
		c(set)
	}
	_, err := l.Client.AppsV1().StatefulSets(l.ns).Create(l.Context(), set, byTest)
	l.check(err)
	return deploy.Environment{Namespace: l.ns, Kind: deploy.StatefulSet, Name: w.name}
}

func (l *lab) daemonSet(w workload) deploy.Environment {
	l.Helper()
	_, err := l.Client.AppsV1().DaemonSets(l.ns).Create(l.Context(), &appsv1.DaemonSet{
		ObjectMeta: l.meta(w), Spec: appsv1.DaemonSetSpec{Selector: w.selector(), Template: w.template("")},
	}, byTest)
	l.check(err)
	return deploy.Environment{Namespace: l.ns, Kind: deploy.DaemonSet, Name: w.name}
}

func (l *lab) cronJob(w workload) deploy.Environment {
	l.Helper()
	_, err := l.Client.BatchV1().CronJobs(l.ns).Create(l.Context(), &batchv1.CronJob{
		ObjectMeta: l.meta(w),
		Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{
			Spec: batchv1.JobSpec{Template: w.template(corev1.RestartPolicyNever)},
		}},
	}, byTest)
	l.check(err)
	return deploy.Environment{Namespace: l.ns, Kind: deploy.CronJob, Name: w.name}
}

// template reads a workload's present pod template and metadata.
func (l *lab) template(e deploy.Environment) (metav1.ObjectMeta, corev1.PodSpec) {
	l.Helper()
	switch e.Kind {
	case deploy.Deployment:
		o, err := l.Client.AppsV1().Deployments(e.Namespace).Get(l.Context(), e.Name, metav1.GetOptions{})
		l.check(err)
		return o.ObjectMeta, o.Spec.Template.Spec
	case deploy.StatefulSet:
		o, err := l.Client.AppsV1().StatefulSets(e.Namespace).Get(l.Context(), e.Name, metav1.GetOptions{})
		l.check(err)
		return o.ObjectMeta, o.Spec.Template.Spec
	case deploy.DaemonSet:
		o, err := l.Client.AppsV1().DaemonSets(e.Namespace).Get(l.Context(), e.Name, metav1.GetOptions{})
		l.check(err)
		return o.ObjectMeta, o.Spec.Template.Spec
	}
	o, err := l.Client.BatchV1().CronJobs(e.Namespace).Get(l.Context(), e.Name, metav1.GetOptions{})
	l.check(err)
	return o.ObjectMeta, o.Spec.JobTemplate.Spec.Template.Spec
}

func (l *lab) image(e deploy.Environment) string {
	l.Helper()
	_, spec := l.template(e)
	return spec.Containers[0].Image
}

// listed is where an environment stands by the records.
func (l *lab) listed(e deploy.Environment) *deploy.Listed {
	l.Helper()
	all, err := l.store.Environments(l.Context())
	l.check(err)
	for _, v := range all {
		if v.Environment == e {
			return &v
		}
	}
	return nil
}

// await waits until an environment stands in a state at a commit.
func (l *lab) await(e deploy.Environment, state deploy.State, commit layers.Commit) deploy.Listed {
	l.Helper()
	var found deploy.Listed
	clustertest.Await(l, fmt.Sprintf("%s to be %s", e, state), func(context.Context) error {
		v := l.listed(e)
		if v == nil {
			return errors.New("it is not listed")
		}
		found = *v
		if v.State != state || commit != "" && v.Commit != commit {
			return fmt.Errorf("it is %s at %s: %s", v.State, v.Commit.Short(), v.Reason)
		}
		return nil
	})
	return found
}

func ref(layer, d string) string { return registry + "/" + layer + "@" + d }

// digests of images that fare well, all of them different.
func runs(n int) string { return clustertest.Runs.Digest(n) }

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is to have %q", text, part)
		}
	}
}
