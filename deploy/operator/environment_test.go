package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

func (l *lab) environment(name, layer string, change func(*api.LabEnvironmentSpec)) *api.LabEnvironment {
	e := &api.LabEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: name}, Spec: api.LabEnvironmentSpec{Layer: layer}}
	if change != nil {
		change(&e.Spec)
	}
	return e
}

// awaitEnvironment waits until a LabEnvironment is as is says.
func (l *lab) awaitEnvironment(name string, is func(api.LabEnvironmentStatus) bool) (found api.LabEnvironment) {
	l.Helper()
	l.await("LabEnvironment "+name, func(ctx context.Context) error {
		found = api.LabEnvironment{}
		if err := l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: name}, &found); err != nil {
			return err
		}
		if !is(found.Status) {
			return fmt.Errorf("it is %+v", found.Status)
		}
		return nil
	})
	return found
}

func (l *lab) pods(ctx context.Context, of string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := l.client.List(ctx, &list, client.InNamespace(l.ns), client.MatchingLabels{"lab-layers.dev/environment": of})
	return list.Items, err
}

func ready(s api.LabEnvironmentStatus) bool {
	return condition(s.Conditions, api.Ready) == "True Healthy"
}

func TestEnvironment(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.operate()
	l.roll()

	// There are pods before there is an image; they keep off the nodes.
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
		s.Replicas = new(int32(2))
		s.Container.Ports = []api.Port{{Name: "http", Port: 8888}}
	})))
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return s.State == string(deploy.Waiting) && strings.Contains(s.Reason, "no run of main") && condition(s.Conditions, api.Progressing) == "True Waiting"
	})
	l.await("gated pods", func(ctx context.Context) error {
		pods, err := l.pods(ctx, "bert")
		if err != nil || len(pods) != 2 {
			return fmt.Errorf("there are %d: %w", len(pods), err)
		}
		for _, p := range pods {
			if len(p.Spec.SchedulingGates) != 1 || p.Spec.NodeName != "" {
				return fmt.Errorf("pod %s is not gated", p.Name)
			}
		}
		return nil
	})

	good := clustertest.Runs.Digest(1)
	commit := l.Release(mainRef, map[layers.Name]string{"bert": good})
	e := l.awaitEnvironment("bert", ready)
	if s := e.Status; s.Digest != good || s.Image != registry+"/bert@"+good || s.Commit != string(commit) || s.Available != 2 || s.ObservedGeneration != e.Generation {
		t.Errorf("it is %+v", s)
	}
	name := client.ObjectKeyFromObject(&e)
	var d appsv1.Deployment
	l.check(l.client.Get(t.Context(), name, &d))
	for _, f := range d.ManagedFields {
		if has := strings.Contains(string(f.FieldsV1.GetRawBytes()), `"f:image":`); has != (f.Manager == "lab-layers") {
			t.Errorf("%s has the image: %t", f.Manager, has)
		}
	}
	if !metav1.IsControlledBy(&d, &e) || len(d.Spec.Template.Spec.SchedulingGates) != 0 {
		t.Errorf("the Deployment is %+v", d)
	}
	var service corev1.Service
	l.check(l.client.Get(t.Context(), name, &service))
	var budget policyv1.PodDisruptionBudget
	l.check(l.client.Get(t.Context(), name, &budget))
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 8888 || budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the Service is %+v, the budget %+v", service.Spec, budget.Spec)
	}

	outlook := deploy.Outlook{
		Client: l.Client, Registry: registry, Namespaces: []string{l.ns}, Now: time.Now,
		Times: gates.Calendar{Now: time.Now}, Fit: &gates.Driver{Images: l.store, Now: time.Now}, Settings: gates.Settings{},
	}
	l.await("the outlook", func(ctx context.Context) error {
		merge := deploy.Merge{Repository: labURL, Into: mainRef, Images: map[layers.Name]string{"bert": "bert@" + clustertest.Runs.Digest(2)}}
		all, err := outlook.Touched(ctx, merge)
		if err != nil || len(all) != 1 || all[0].Owner != "LabEnvironment" || all[0].Environment.Name != "bert" || all[0].Verdict != deploy.Allow {
			return fmt.Errorf("a merge would roll %+v: %w", all, err)
		}
		return nil
	})

	// The spec moves and the image stays; what has no port needs no Service.
	l.edit("bert", func(s *api.LabEnvironmentSpec) {
		s.Replicas, s.Container.Ports, s.Rollout.Strategy = new(int32(3)), nil, "Recreate"
	})
	e = l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Available == 3 && s.Digest == good })
	l.await("the Service to go", func(ctx context.Context) error {
		if err := l.client.Get(ctx, name, &service); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})

	// A bad image goes back by itself, and the status says why.
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(2)})
	e = l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return condition(s.Conditions, api.Degraded) == "True RolledBack" && s.Digest == good
	})
	if !strings.Contains(e.Status.Reason, "CrashLoopBackOff") {
		t.Errorf("the reason is %q", e.Status.Reason)
	}
	l.await("an event", func(ctx context.Context) error {
		got, err := l.eventsOf(ctx, &e)
		if err == nil && !strings.Contains(got, "RolledBack pod") {
			err = fmt.Errorf("there are %q", got)
		}
		return err
	})

	l.check(l.client.Delete(t.Context(), &e))
	l.await("the Deployment to go", func(ctx context.Context) error {
		if err := l.client.Get(ctx, name, &d); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// TestHeldOutage tells of pods that fail while a rollout is held.
func TestHeldOutage(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.operate()
	l.roll()
	first := l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
		s.Replicas, s.Rollout.Freeze = new(int32(2)), "0 * * * * for 1h"
	})))
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Available == 2 })
	const frozen = "frozen (0 * * * * for 1h); it does not open within 400 days"

	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(2)})
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return s.Reason == frozen && condition(s.Conditions, api.Degraded) == "False Held"
	})
	l.await("the pods to fail", func(ctx context.Context) error {
		pods, err := l.pods(ctx, "bert")
		for _, p := range pods {
			for i, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
					p.Status.Conditions[i].Status = corev1.ConditionFalse
				}
			}
			for i := range p.Status.ContainerStatuses {
				c := &p.Status.ContainerStatuses[i]
				c.Ready, c.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s"}}
			}
			err = errors.Join(err, l.client.Status().Update(ctx, &p))
		}
		return err
	})
	is := l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return s.State == string(deploy.Held) && condition(s.Conditions, api.Degraded) == "True Unavailable" && strings.Contains(s.Reason, "0 of 2")
	})
	if s := is.Status; !strings.HasPrefix(s.Reason, frozen+"; meanwhile 0 of 2 available: pod bert-") || !strings.HasSuffix(s.Reason, ", container main: CrashLoopBackOff: back-off 5m0s") ||
		condition(s.Conditions, api.Ready) != "False Held" || s.Commit != string(first) {
		t.Errorf("it is %+v", s)
	}
	if tally, err := l.store.Tally(t.Context()); err != nil || tally.Unavailable != 1 || tally.Environments[deploy.Held] != 1 {
		t.Errorf("the tally is %+v: %v", tally, err)
	}
	l.await("an event", func(ctx context.Context) error {
		got, err := l.eventsOf(ctx, &is)
		if err == nil && !strings.Contains(got, "Unavailable "+frozen) {
			err = fmt.Errorf("there are %q", got)
		}
		return err
	})
}

// TestFirstImageFails: there is nothing to go back to then, and the next image
// is tried.
func TestFirstImageFails(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(1)})
	l.operate()
	l.roll()
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", nil)))
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return condition(s.Conditions, api.Degraded) == "True Degraded" && strings.Contains(s.Reason, "CrashLoopBackOff") &&
			s.Digest == clustertest.Crashes.Digest(1)
	})
	rollouts, err := l.store.RolloutsOf(t.Context(), deploy.Environment{Namespace: l.ns, Kind: deploy.Deployment, Name: "bert"}, 10)
	if err != nil || len(rollouts) != 1 || rollouts[0].State != deploy.Failed || deploy.Before(rollouts) != nil {
		t.Errorf("the rollouts are %+v: %v", rollouts, err)
	}
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(2)})
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Digest == clustertest.Runs.Digest(2) })
}

func TestEnvironmentOfTakenName(t *testing.T) {
	l := newLab(t)
	l.operate()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "bert"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "bert"}}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "theirs"}}
	l.check(l.client.Create(t.Context(), d))
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", nil)))
	e := l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return condition(s.Conditions, api.Degraded) == "True NameTaken"
	})
	l.check(l.client.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	if d.Spec.Template.Spec.Containers[0].Image != "theirs" || len(d.OwnerReferences)+len(d.Annotations) > 1 || !strings.Contains(e.Status.Reason, "Deployment") {
		t.Errorf("it is %+v; the reason is %q", d, e.Status.Reason)
	}
}

func TestEnvironmentsThatAreRefused(t *testing.T) {
	l := newLab(t)
	for name, e := range map[string]*api.LabEnvironment{
		"a name that no Service has": l.environment("1-bert", "bert", nil),
		"a long name":                l.environment(strings.Repeat("b", 64), "bert", nil),
		"no layer":                   l.environment("bert", "", nil),
		"a volume of two sources": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.Container.Volumes = []api.Volume{{Name: "data", MountPath: "/data", Claim: "imagenet", Secret: "token"}}
		}),
		"a capability": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.GPU = &api.GPU{Devices: api.Devices{Count: 1, ComputeCapability: "eight"}}
		}),
		"a driver policy": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.GPU = &api.GPU{Devices: api.Devices{Count: 1}, DriverPolicy: "Unknown"}
		}),
		"a pre-pull of no node":     l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.PrePull = &api.PrePull{} }),
		"a layer that none can be":  l.environment("bert", "BERT", nil),
		"a window of nothing":       l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.Window = "at night" }),
		"a freeze without a length": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.Freeze = "0 2 * * * for 3h; 0 2 * * *" }),
		"a deadline of the past": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.Rollout.ProgressDeadline = &metav1.Duration{Duration: -time.Minute}
		}),
		"a test without time": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.Rollout.Smoke = &api.Smoke{Command: []string{"true"}, Timeout: &metav1.Duration{}}
		}),
		"idle for no time": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.WhenIdle = &api.WhenIdle{} }),
		"idle until no window": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) {
			s.Rollout.WhenIdle = &api.WhenIdle{For: metav1.Duration{Duration: time.Minute}, Latest: "Window"}
		}),
		"a policy": l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.Drift = "hope" }),
	} {
		if err := l.client.Create(t.Context(), e); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, window := range []api.Windows{
		"", "0 2 * * * for 3h", "CRON_TZ=Europe/Vienna 0 2 * * 1-5 for 3h ; TZ=UTC @daily for 1d12h;", "\n0 2 * * * for 3h\n\n 0 12 * * 6 for 90m\n",
	} {
		e := l.environment(fmt.Sprint("bert-", i), "bert", func(s *api.LabEnvironmentSpec) {
			s.Rollout = api.Rollout{
				Window: window, Freeze: window, ProgressDeadline: &metav1.Duration{Duration: 90 * time.Second},
				WhenIdle: &api.WhenIdle{For: metav1.Duration{Duration: time.Hour}, Latest: "48h"},
				Smoke:    &api.Smoke{Command: []string{"true"}, Timeout: &metav1.Duration{Duration: time.Minute}},
				PrePull:  &api.PrePull{Parallel: 4, Timeout: &metav1.Duration{Duration: 30 * time.Minute}},
			}
		})
		if err := l.client.Create(t.Context(), e, client.DryRunAll); err != nil {
			t.Errorf("%q: %v", window, err)
		}
	}
}

// TestFaultyEnvironment tells what only the operator finds, and of what it makes.
func TestFaultyEnvironment(t *testing.T) {
	l := newLab(t)
	l.operate()
	l.roll()
	e := l.environment("bert", "bert", func(s *api.LabEnvironmentSpec) { s.Rollout.Window = "61 2 * * * for 3h" })
	l.check(l.client.Create(t.Context(), e))
	*e = l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool {
		return s.State == string(deploy.Faulty) && condition(s.Conditions, api.Degraded) == "True Faulty"
	})
	const want = `window "61 2 * * * for 3h": "61 2 * * *" is no cron expression of five fields`
	if !strings.HasPrefix(e.Status.Reason, want) {
		t.Errorf("the reason is %q, want %q", e.Status.Reason, want)
	}
	e.Spec.Rollout.Window = ""
	l.check(l.client.Update(t.Context(), e))
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool { return s.State == string(deploy.Waiting) })
}
