package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// TestStudents has an environment for each student of a class, of whom one
// leaves and one comes.
func TestStudents(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.operate()
	l.roll()
	good := clustertest.Runs.Digest(1)
	commit := l.Release(mainRef, map[layers.Name]string{"bert": good})
	l.check(l.client.Create(t.Context(), l.environment("lab", "bert", func(s *api.LabEnvironmentSpec) {
		s.Students = []string{"ada", "kurt"}
		s.Home = &api.Home{Size: resource.MustParse("1Gi"), StorageClassName: new("manual")}
		s.Container.Ports = []api.Port{{Name: "http", Port: 8888}}
	})))
	for _, student := range []string{"ada", "kurt"} {
		l.home(student)
	}
	class := l.awaitEnvironment("lab", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Environments == 2 })
	if s := class.Status; s.Digest != good || s.Commit != string(commit) || s.Available != 2 || s.Reason != "" {
		t.Errorf("the class is %+v", s)
	}
	ada := l.awaitEnvironment("lab-ada", ready)
	if !metav1.IsControlledBy(&ada, &class) {
		t.Errorf("it belongs to %v", ada.OwnerReferences)
	}
	var d appsv1.Deployment
	l.check(l.client.Get(t.Context(), client.ObjectKeyFromObject(&ada), &d))
	pod := d.Spec.Template.Spec
	if v := pod.Volumes; len(v) != 1 || v[0].PersistentVolumeClaim.ClaimName != "lab-ada" || pod.Containers[0].VolumeMounts[0].MountPath != "/home/student" {
		t.Errorf("its volumes are %+v", v)
	}
	if !slices.Contains(pod.Containers[0].Env, corev1.EnvVar{Name: "LAB_STUDENT", Value: "ada"}) || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("it runs %+v, replaced by %s", pod.Containers[0].Env, d.Spec.Strategy.Type)
	}
	l.check(l.client.Get(t.Context(), client.ObjectKeyFromObject(&ada), &corev1.Service{}))

	// One leaves, and keeps the home; one comes. What is edited by hand is put right.
	l.edit("lab-ada", func(s *api.LabEnvironmentSpec) { s.Layer = "gpt" })
	l.edit("lab", func(s *api.LabEnvironmentSpec) { s.Students = []string{"ada", "emmy"} })
	l.home("emmy")
	l.awaitEnvironment("lab-emmy", ready)
	l.await("kurt's environment to go, and not the claim", func(ctx context.Context) error {
		if err := l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: "lab-kurt"}, &api.LabEnvironment{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: "lab-kurt"}, &corev1.PersistentVolumeClaim{})
	})
	l.await("ada's environment to be put right", func(ctx context.Context) error {
		var e api.LabEnvironment
		if err := l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: "lab-ada"}, &e); err != nil || e.Spec.Layer != "bert" {
			return fmt.Errorf("it is of %s: %w", e.Spec.Layer, err)
		}
		return nil
	})

	// An image that fails is told of the class, and each goes back.
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(2)})
	l.awaitEnvironment("lab", func(s api.LabEnvironmentStatus) bool {
		return condition(s.Conditions, api.Degraded) == "True RolledBack" && s.Available == 2 && s.Digest == good &&
			strings.Contains(s.Reason, "of 2 students have theirs; ada: ") && strings.Contains(s.Reason, "CrashLoopBackOff")
	})
	l.edit("lab", func(s *api.LabEnvironmentSpec) { s.Replicas = new(int32(0)) })
	l.awaitEnvironment("lab", func(s api.LabEnvironmentStatus) bool { return s.Available == 0 })
}

// TestStudentsInTheWay has the names of two students taken.
func TestStudentsInTheWay(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.check(l.client.Create(t.Context(), l.environment("lab-ada", "gpt", nil)))
	l.check(l.client.Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "lab-kurt"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}))
	l.operate()
	l.check(l.client.Create(t.Context(), l.environment("lab", "bert", func(s *api.LabEnvironmentSpec) {
		s.Students = []string{"ada", "emmy", "kurt"}
		s.Home = &api.Home{Size: resource.MustParse("1Gi"), StorageClassName: new("manual")}
	})))
	l.awaitEnvironment("lab", func(s api.LabEnvironmentStatus) bool {
		return condition(s.Conditions, api.Degraded) == "True NotMade" && s.Environments == 1 &&
			strings.Contains(s.Reason, "ada: a LabEnvironment of this name is not of this environment")
	})
	for name, change := range map[string]func(*api.LabEnvironmentSpec){
		"one for all or one for each": func(s *api.LabEnvironmentSpec) { s.Students, s.Home = nil, nil },
		"each student has one pod":    func(s *api.LabEnvironmentSpec) { s.Replicas = new(int32(2)) },
		"63 at the most": func(s *api.LabEnvironmentSpec) {
			s.Students = []string{strings.Repeat("a", 32), strings.Repeat("b", 32)}
		},
		"should match": func(s *api.LabEnvironmentSpec) { s.Students = []string{"Ada"} },
	} {
		e := l.environment("lab-of-a-name-that-is-a-long-one", "bert", func(s *api.LabEnvironmentSpec) { s.Students = []string{"a"} })
		if name == "one for all or one for each" {
			l.check(l.client.Get(t.Context(), types.NamespacedName{Namespace: l.ns, Name: "lab"}, e))
			before := client.MergeFrom(e.DeepCopy())
			change(&e.Spec)
			if err := l.client.Patch(t.Context(), e, before); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		change(&e.Spec)
		if err := l.client.Create(t.Context(), e); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// home has a volume for a student's claim.
func (l *lab) home(student string) {
	l.Helper()
	name := l.ns + "-" + student
	l.check(l.client.Create(l.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, StorageClassName: "manual",
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			ClaimRef:               &corev1.ObjectReference{Namespace: l.ns, Name: "lab-" + student},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv/" + name}},
		},
	}))
	l.Cleanup(func() {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := l.client.Delete(context.Background(), pv); err != nil {
			l.Error(err)
		}
	})
}

// edit changes the spec of a LabEnvironment.
func (l *lab) edit(name string, change func(*api.LabEnvironmentSpec)) {
	l.Helper()
	l.await("LabEnvironment "+name+" to be changed", func(ctx context.Context) error {
		var e api.LabEnvironment
		l.check(l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: name}, &e))
		change(&e.Spec)
		if err := l.client.Update(ctx, &e); !apierrors.IsConflict(err) {
			l.check(err)
			return nil
		}
		return errors.New("somebody else changed it")
	})
}
