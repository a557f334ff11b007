package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

const (
	// studentLabel names the student whose environment or claim it is.
	studentLabel = api.Group + "/student"
	// studentVariable is what a student's container finds that name in.
	studentVariable = "LAB_STUDENT"
	homeVolume      = "home"
)

// studentEnvironment is the one of a student, all but what the operator makes of
// any environment.
func studentEnvironment(e *api.LabEnvironment, student string) *api.LabEnvironment {
	of := &api.LabEnvironment{ObjectMeta: object(e), Spec: *e.Spec.DeepCopy()}
	of.Name = e.Name + "-" + student
	of.Labels[studentLabel] = student
	s := &of.Spec
	s.Students, s.Home = nil, nil
	if !slices.ContainsFunc(s.Container.Env, func(v corev1.EnvVar) bool { return v.Name == studentVariable }) {
		s.Container.Env = append(s.Container.Env, corev1.EnvVar{Name: studentVariable, Value: student})
	}
	if home := e.Spec.Home; home != nil {
		s.Container.Volumes = append(s.Container.Volumes, api.Volume{Name: homeVolume, MountPath: home.MountPath, Claim: of.Name})
		// A new pod could wait for ever for a volume that the old one has.
		s.Rollout.Strategy = "Recreate"
	}
	return of
}

// homeOf is the claim of a student's environment. It has no owner: what students
// keep there outlives their environments.
func homeOf(e, of *api.LabEnvironment) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, Labels: maps.Clone(of.Labels)}}
	c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	c.Spec.StorageClassName = e.Spec.Home.StorageClassName
	c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: e.Spec.Home.Size}
	return c
}

// forStudents makes the environments of an environment's students, and returns
// those that there are. What is in the way of one is in the way of no other.
func (r *environments) forStudents(ctx context.Context, e *api.LabEnvironment) (there []api.LabEnvironment, problem error) {
	list := rawList("LabEnvironment")
	if err := r.client.List(ctx, list, client.InNamespace(e.Namespace), client.MatchingLabels{environmentLabel: e.Name}); err != nil {
		return nil, err
	}
	have := map[string]*api.LabEnvironment{}
	for i := range list.Items {
		if u := &list.Items[i]; metav1.IsControlledBy(u, e) {
			of := &api.LabEnvironment{}
			_ = decode(u, of) // what cannot be read is not as it should be, and is put right
			have[of.Name] = of
		}
	}
	for _, student := range e.Spec.Students {
		want := studentEnvironment(e, student)
		of := have[want.Name]
		delete(have, want.Name)
		if of != nil && equality.Semantic.DeepEqual(of.Spec, want.Spec) && of.Labels[studentLabel] == student {
			there = append(there, *of)
			continue
		}
		err := r.forStudent(ctx, e, want, of == nil)
		if err == nil && of != nil {
			there = append(there, *of) // as it was: it is about to be seen anew
		}
		if err != nil && problem == nil {
			problem = fmt.Errorf("%s: %w", student, err)
		}
	}
	for _, of := range have { // of students who have left
		if err := client.IgnoreNotFound(r.client.Delete(ctx, of)); err != nil && problem == nil {
			problem = err
		}
	}
	return there, problem
}

// forStudent makes what one student needs.
func (r *environments) forStudent(ctx context.Context, e, want *api.LabEnvironment, isNew bool) error {
	if isNew { // or somebody else's
		is := raw("LabEnvironment")
		err := r.live.Get(ctx, client.ObjectKeyFromObject(want), is)
		if err == nil && !metav1.IsControlledBy(is, e) {
			return taken{"LabEnvironment"}
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	if e.Spec.Home != nil {
		home := homeOf(e, want)
		if err := r.client.Create(ctx, home, client.FieldOwner(fieldManager)); apierrors.IsAlreadyExists(err) {
			var is corev1.PersistentVolumeClaim
			if err := r.live.Get(ctx, client.ObjectKeyFromObject(home), &is); err != nil {
				return err
			}
			if is.Labels[studentLabel] != home.Labels[studentLabel] || is.Labels[environmentLabel] != e.Name {
				return taken{"PersistentVolumeClaim"}
			}
		} else if err != nil {
			return fmt.Errorf("make PersistentVolumeClaim %s/%s: %w", home.Namespace, home.Name, err)
		}
	}
	return apply(ctx, r.client, want)
}

// together is where an environment stands by those of its students.
func together(e *api.LabEnvironment, there []api.LabEnvironment, problem error) api.LabEnvironmentStatus {
	s := api.LabEnvironmentStatus{ObservedGeneration: e.Generation, Environments: int32(len(there)), State: string(deploy.Healthy)}
	count := map[string]int{}
	ready, progressing, degraded := 0, false, false
	var troubles, waits []string // of students, and why
	var pinned []string          // by whom
	for i, of := range there {
		is := of.Status
		state := is.State
		if state == "" || is.ObservedGeneration < of.Generation {
			state = string(deploy.Waiting)
		}
		count[state]++
		s.Available += is.Available
		said := of.Labels[studentLabel] + ": " + is.Reason
		if meta.IsStatusConditionTrue(is.Conditions, api.Ready) {
			ready++
		} else if is.Reason != "" {
			waits = append(waits, said)
		}
		progressing = progressing || state == string(deploy.Waiting) || meta.IsStatusConditionTrue(is.Conditions, api.Progressing)
		if meta.IsStatusConditionTrue(is.Conditions, api.Degraded) {
			degraded = true
			troubles = append(troubles, said)
		}
		if is.Pinned != "" {
			pinned = append(pinned, is.Pinned)
		}
		if i == 0 {
			s.Image, s.Digest, s.Commit = is.Image, is.Digest, is.Commit
		} else if s.Digest != is.Digest {
			s.Image, s.Digest, s.Commit = "", "", "" // it is not one for all
		}
	}
	for _, state := range []deploy.State{deploy.Failed, deploy.Faulty, deploy.RolledBack, deploy.Drifted, deploy.Degraded, deploy.RollingBack, deploy.Rolling, deploy.Held, deploy.Pending, deploy.Waiting} {
		if count[string(state)] > 0 {
			s.State = string(state)
			break
		}
	}
	whole := len(e.Spec.Students)
	if len(there) < whole && s.State == string(deploy.Healthy) {
		s.State = string(deploy.Waiting)
	}
	switch by := slices.Compact(slices.Sorted(slices.Values(pinned))); {
	case len(pinned) == len(there) && len(by) == 1:
		s.Pinned = by[0]
	case len(pinned) > 0:
		s.Pinned = fmt.Sprintf("%d of %d", len(pinned), len(there))
	}
	if ready < whole {
		s.Reason = fmt.Sprintf("%d of %d students have theirs", ready, whole)
	}
	reason := camel(deploy.State(s.State))
	bad := reason
	switch deploy.State(s.State) {
	case deploy.Pending, deploy.Held:
		bad = unavailable
	}
	if problem != nil {
		degraded, reason, bad = true, "NotMade", "NotMade"
		troubles = append([]string{deploy.Problem(problem)}, troubles...)
	}
	if len(troubles) == 0 {
		troubles = waits
	}
	if len(troubles) > 0 {
		s.Reason += "; " + troubles[0]
		if len(troubles) > 1 {
			s.Reason += fmt.Sprintf("; and %d more", len(troubles)-1)
		}
	}
	s.Reason = printable(strings.TrimPrefix(s.Reason, "; "), maxReason)
	s.Short = short(s.Digest, s.Commit, s.Reason)
	s.Conditions = conditions(ready == whole && problem == nil, progressing || len(there) < whole, degraded, reason, bad, s.Reason)
	return s
}
