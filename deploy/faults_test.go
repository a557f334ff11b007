package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/layers"
)

// TestRights rolls, and goes back, with exactly the rights of the example, and
// tells which is missing where one is.
func TestRights(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "rights", GPU: clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 1, MemoryMiB: 49140, Compute: "8.6", Driver: "580.65.06", CUDA: "13.0"}})
	text, err := os.ReadFile("../docs/examples/kubernetes/rollouts.yaml")
	l.check(err)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "agent", Namespace: l.ns}
	suffix := "-" + l.ns
	var rollouts *rbacv1.ClusterRole
	for {
		var role rbacv1.ClusterRole
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			break
		}
		l.check(err)
		if role.Kind != "ClusterRole" {
			continue
		}
		role.Name += suffix
		_, err = l.Client.RbacV1().ClusterRoles().Create(t.Context(), &role, byTest)
		l.check(err)
		t.Cleanup(func() {
			_ = l.Client.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
		})
		of := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
		if strings.HasPrefix(role.Name, "lab-layers-rollouts") {
			rollouts = &role
			_, err = l.Client.RbacV1().RoleBindings(l.ns).Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "lab-layers"}, RoleRef: of, Subjects: []rbacv1.Subject{account},
			}, byTest)
			l.check(err)
			continue
		}
		_, err = l.Client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: of, Subjects: []rbacv1.Subject{account},
		}, byTest)
		l.check(err)
		t.Cleanup(func() {
			_ = l.Client.RbacV1().ClusterRoleBindings().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
		})
	}
	config := rest.CopyConfig(l.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + l.ns + ":agent", Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	client, err := kubernetes.NewForConfig(config)
	l.check(err)
	w := workload{name: "unet", layer: "unet", image: ref("unet", runs(1)), replicas: 1, annotations: map[string]string{deploy.DeadlineAnnotation: "2s"}}
	all := []deploy.Environment{l.statefulSet(w, appsv1.RollingUpdateStatefulSetStrategyType), l.cronJob(w)}
	w.name, w.gpus, w.annotations[deploy.PullAnnotation] = "gpu", 1, "1"
	all = append(all, l.deployment(w))
	identity := &deploy.Identity{Client: client, Serve: l.store.ServeCluster, Log: slog.New(slog.NewTextHandler(l.Output(), nil))}
	l.start(l.engine(func(e *deploy.Engine) { e.Client, e.Identify = client, identity.Check }))
	for _, commit := range []string{runs(1), runs(2)} {
		pushed := l.push("unet", commit)
		for _, e := range all {
			l.await(e, deploy.Healthy, pushed)
		}
	}
	if err := l.store.ServeCluster(t.Context(), "another"); !errors.As(err, new(deploy.OtherCluster)) {
		t.Errorf("it may not ask which cluster it is: %v", err)
	}
	l.push("unet", clustertest.Crashes.Digest(1))
	l.await(all[0], deploy.RolledBack, "")
	l.await(all[2], deploy.RolledBack, "")

	for i, rule := range rollouts.Rules {
		if len(rule.Resources) > 0 && rule.Resources[0] == "cronjobs" {
			rollouts.Rules[i].Verbs = []string{"get", "list", "watch"}
		}
	}
	rollouts.ResourceVersion = ""
	_, err = l.Client.RbacV1().ClusterRoles().Update(t.Context(), rollouts, metav1.UpdateOptions{})
	l.check(err)
	clustertest.Await(t, "the missing right to be told", func(context.Context) error {
		l.push("unet", runs(10+l.Pushes))
		v := l.listed(all[1])
		if want := "the role lacks patch on cronjobs.batch in namespace " + l.ns; v.State != deploy.Pending || v.Reason != want {
			return fmt.Errorf("it is %s: %s", v.State, v.Reason)
		}
		return nil
	})
	rollouts.Rules[1].Verbs = []string{"get", "list", "watch", "patch"}
	_, err = l.Client.RbacV1().ClusterRoles().Update(t.Context(), rollouts, metav1.UpdateOptions{})
	l.check(err)
	l.await(all[1], deploy.Healthy, l.At[mainRef])
}

// TestReplicas has one of two engines end in the midst of rollouts.
func TestReplicas(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "replicas"})
	var all []deploy.Environment
	for i := range 6 {
		all = append(all, l.deployment(workload{name: fmt.Sprint("unet-", i), layer: "unet", image: ref("unet", runs(1)), replicas: 1}))
	}
	one := func(e *deploy.Engine) { e.Parallel = 1 }
	stop := l.start(l.engine(one))
	first := l.push("unet", runs(1))
	for _, e := range all {
		l.await(e, deploy.Healthy, first)
	}
	l.start(l.engine(one))
	second := l.push("unet", runs(2))
	clustertest.Await(t, "some to be rolled", func(context.Context) error {
		for _, e := range all {
			if l.listed(e).Commit == second {
				return nil
			}
		}
		return errors.New("none is")
	})
	stop()
	for _, e := range all {
		l.await(e, deploy.Healthy, second)
		if history, err := l.store.RolloutsOf(t.Context(), e, 10); err != nil || len(history) != 1 {
			t.Errorf("%s was rolled %d times: %v", e, len(history), err)
		}
	}
}

// TestAPIServerGone takes the API server away while a release comes, and the rights
// of the engine leave no watch out.
func TestAPIServerGone(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "gone"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	engine := l.engine()
	if at, deploys := engine.InStep(); deploys || !at.IsZero() {
		t.Errorf("before it deploys its watches are in step at %v", at)
	}
	reach := deploy.NewReach(l.Client, 10*time.Millisecond, engine.Log)
	go reach.Serve(t.Context())
	reached := func(want bool) {
		t.Helper()
		clustertest.Await(t, fmt.Sprintf("the cluster to be reached: %v", want), func(ctx context.Context) error {
			if err := reach.Check(ctx); (err == nil) != want {
				return fmt.Errorf("the check says: %v", err)
			}
			return nil
		})
	}
	l.start(engine)
	l.await(e, deploy.Healthy, l.push("unet", runs(1)))
	reached(true)
	inStep := func(since time.Time, want bool) {
		t.Helper()
		clustertest.Await(t, fmt.Sprintf("the watches to be in step: %v", want), func(ctx context.Context) error {
			if at, deploys := engine.InStep(); !deploys || at.After(since) != want {
				return fmt.Errorf("they were at %v", at)
			}
			return nil
		})
	}
	inStep(time.Now(), true)
	l.StopAPIServer()
	gone := time.Now()
	reached(false)
	clustertest.Await(t, "the watches to be lost", func(ctx context.Context) error {
		if at, _ := engine.InStep(); time.Since(at) < 10*time.Millisecond {
			return errors.New("they are in step")
		}
		return nil
	})
	second := l.push("unet", runs(2))
	clustertest.Await(t, "the trouble to be told", func(context.Context) error {
		if v := l.listed(e); v.State != deploy.Pending || v.Reason == "" {
			return fmt.Errorf("it is %s: %s", v.State, v.Reason)
		}
		return nil
	})
	l.check(l.StartAPIServer(t.Context()))
	l.await(e, deploy.Healthy, second)
	reached(true)
	inStep(gone, true)
}

// TestDeleted deletes a workload in the midst of its rollout, and makes it anew.
func TestDeleted(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "deleted"})
	w := workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1}
	e := l.deployment(w)
	l.start(l.engine())
	l.await(e, deploy.Healthy, l.push("unet", runs(1)))
	l.push("unet", clustertest.Unready.Digest(1))
	l.await(e, deploy.Rolling, "")
	l.check(l.Client.AppsV1().Deployments(l.ns).Delete(t.Context(), e.Name, metav1.DeleteOptions{}))
	clustertest.Await(t, "the environment to go", func(context.Context) error {
		if v := l.listed(e); v != nil {
			return fmt.Errorf("it is listed as %s", v.State)
		}
		return nil
	})
	history, err := l.store.RolloutsOf(t.Context(), e, 10)
	l.check(err)
	if history[0].State != deploy.Superseded || history[0].Reason != "the workload was deleted" {
		t.Errorf("its rollout is %+v", history[0])
	}
	third := l.push("unet", runs(3))
	l.deployment(w)
	l.await(e, deploy.Healthy, third)
}

// TestQuota leaves no room for a pod more, of which the workload tells.
func TestQuota(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "quota"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1, annotations: map[string]string{deploy.DeadlineAnnotation: "3s"}})
	l.start(l.engine())
	first := l.push("unet", runs(1))
	l.await(e, deploy.Healthy, first)
	quota := `{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"full"},"spec":{"hard":{"pods":"1"}}}`
	l.check(l.Client.CoreV1().RESTClient().Post().Namespace(l.ns).Resource("resourcequotas").Body([]byte(quota)).Do(t.Context()).Error())
	clustertest.Await(t, "the quota to be counted", func(ctx context.Context) error {
		q, err := l.Client.CoreV1().ResourceQuotas(l.ns).Get(ctx, "full", metav1.GetOptions{})
		if err == nil && q.Status.Used.Pods().Value() != 1 {
			err = errors.New("not yet")
		}
		return err
	})
	l.push("unet", runs(2))
	has(t, l.await(e, deploy.RolledBack, "").Reason, "exceeded quota: full")
}

func unet(d string) map[layers.Name]string { return map[layers.Name]string{"unet": d} }

// killed fails every call from a certain one on, as if the process had been
// killed right before or right after it.
type killed struct {
	deploy.Store
	left  *atomic.Int64
	after bool
	kill  context.CancelFunc
}

var errKilled = errors.New("killed")

func (k killed) call(do func() error) error {
	if k.left.Add(-1) >= 0 {
		return do()
	}
	if k.after {
		_ = do()
	}
	k.kill()
	return errKilled
}

func (k killed) Begin(ctx context.Context, r deploy.Rollout) (begun deploy.Rollout, err error) {
	err = k.call(func() (err error) { begun, err = k.Store.Begin(ctx, r); return err })
	return begun, err
}

func (k killed) Advance(ctx context.Context, r deploy.Rollout, to deploy.State, reason string) (now deploy.Rollout, err error) {
	err = k.call(func() (err error) { now, err = k.Store.Advance(ctx, r, to, reason); return err })
	return now, err
}

func (k killed) Observe(ctx context.Context, s deploy.Standing) error {
	return k.call(func() error { return k.Store.Observe(ctx, s) })
}

// TestKilled kills an engine before and after each thing that it records, on the
// way to a good image and out of a bad one. The next goes on to the same end,
// and one rollout is recorded for each release.
func TestKilled(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "killed"})
	for _, after := range []bool{false, true} {
		for calls := int64(0); ; calls++ {
			e := l.deployment(workload{name: fmt.Sprintf("unet-%t-%d", after, calls), layer: "unet", image: ref("unet", runs(0)), replicas: 1, annotations: map[string]string{
				deploy.TrackAnnotation: fmt.Sprintf("exam-%t-%d", after, calls),
			}})
			branch := layers.Ref(fmt.Sprintf("refs/heads/exam-%t-%d", after, calls))
			good := l.Release(branch, unet(runs(1)))
			var left atomic.Int64
			left.Store(calls)
			reached := func(done func(*deploy.Listed) bool) bool {
				ctx, kill := context.WithCancel(context.Background())
				defer kill()
				ended := make(chan struct{})
				engine := l.engine(func(e *deploy.Engine) { e.Store = killed{l.store, &left, after, kill} })
				go func() { defer close(ended); engine.Serve(ctx) }()
				was := false
				clustertest.Await(t, "the end, or the kill", func(context.Context) error {
					v := l.listed(e)
					was = v != nil && done(v)
					if was || ctx.Err() != nil {
						return nil
					}
					return fmt.Errorf("%+v", v)
				})
				kill()
				<-ended
				left.Store(1 << 40) // the next one lives
				return was
			}
			healthy := func(v *deploy.Listed) bool { return v.State == deploy.Healthy && v.Rollout != nil }
			back := func(v *deploy.Listed) bool { return v.State == deploy.RolledBack }
			whole := reached(healthy)
			if !whole && !reached(healthy) {
				t.Fatalf("killed at call %d it did not get to its end", calls)
			}
			left.Store(calls)
			l.Release(branch, unet(clustertest.Crashes.Digest(int(calls))))
			if wholeBack := reached(back); !wholeBack && !reached(back) {
				t.Fatalf("killed at call %d it did not get back", calls)
			} else {
				whole = whole && wholeBack
			}
			history, err := l.store.RolloutsOf(t.Context(), e, 10)
			l.check(err)
			if len(history) != 2 || history[0].State != deploy.RolledBack || history[1].State != deploy.Healthy || l.image(e) != ref("unet", runs(1)) {
				t.Errorf("killed at call %d it has %s by %+v", calls, l.image(e), history)
			}
			if meta, _ := l.template(e); meta.Annotations["lab-layers.dev/commit"] != string(good) || l.listed(e).Commit != good {
				t.Errorf("killed at call %d it is of commit %s, annotated %v, and not of %s", calls, l.listed(e).Commit, meta.Annotations, good)
			}
			err = l.Client.AppsV1().Deployments(l.ns).Delete(t.Context(), e.Name, metav1.DeleteOptions{})
			l.check(err)
			if whole {
				break
			}
		}
	}
}

// TestConflict has somebody else write to the workload all the while.
func TestConflict(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "conflict"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	l.start(l.engine())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			patch := fmt.Sprintf(`{"metadata":{"labels":{"busy":"%d"}}}`, i)
			_, err := l.Client.AppsV1().Deployments(l.ns).Patch(ctx, e.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
				t.Error(err)
				return
			}
		}
	}()
	for i := range 3 {
		l.await(e, deploy.Healthy, l.push("unet", runs(i)))
	}
	stop()
	<-done
}

// TestOverlooked has an engine that may not see a pinned workload: it is not
// taken for deleted.
func TestOverlooked(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "overlooked"})
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	stop := l.start(l.engine())
	first := l.push("unet", runs(1))
	l.await(e, deploy.Healthy, first)
	history, err := l.store.RolloutsOf(t.Context(), e, 10)
	l.check(err)
	pin := deploy.Pin{Environment: e, Repository: labURL, Ref: mainRef, Commit: first, Images: deploy.Images{"main": history[0].Images[0].To}, By: "ada"}
	l.check(l.store.Pin(t.Context(), pin))
	second := l.push("unet", runs(2))
	stop()

	reason := func(want string, change func(*deploy.Engine)) {
		t.Helper()
		stop := l.start(l.engine(change))
		clustertest.Await(t, want, func(context.Context) error {
			if v := l.listed(e); v == nil || !strings.HasPrefix(v.Reason, want) || v.Pinned == nil {
				return fmt.Errorf("it is %+v", v)
			}
			return nil
		})
		stop()
	}
	reason("it is not looked after: its namespace is none of --namespaces", func(e *deploy.Engine) { e.Namespaces = []string{"default"} })
	reason("it cannot be seen: the role lacks list on deployments.apps in namespace "+l.ns, func(e *deploy.Engine) {
		config := rest.CopyConfig(l.Config)
		config.Impersonate.UserName = "nobody"
		client, err := kubernetes.NewForConfig(config)
		l.check(err)
		e.Client = client
	})
	l.start(l.engine())
	clustertest.Await(t, "it to be seen again", func(context.Context) error {
		if v := l.listed(e); v == nil || v.Reason != "commit "+second.Short()+" of main waits for the pin to be taken off" || v.State != deploy.Healthy {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
	if history, err := l.store.RolloutsOf(t.Context(), e, 10); err != nil || len(history) != 1 || l.image(e) != ref("unet", runs(1)) {
		t.Errorf("it has %s after %d rollouts: %v", l.image(e), len(history), err)
	}
}
