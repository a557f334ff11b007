package deploy

import (
	"fmt"
	"math"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// view reads a workload; nil for anything else.
func view(obj any) *workload {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return viewDeployment(o)
	case *appsv1.StatefulSet:
		return viewStatefulSet(o)
	case *appsv1.DaemonSet:
		return viewDaemonSet(o)
	case *batchv1.CronJob:
		return viewCronJob(o)
	}
	return nil
}

func viewDeployment(d *appsv1.Deployment) *workload {
	w := newWorkload(Deployment, &d.ObjectMeta, &d.Spec.Template)
	w.replicas, w.paused = or(d.Spec.Replicas, 1), d.Spec.Paused
	if rolling := d.Spec.Strategy.RollingUpdate; rolling != nil && d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		w.strategy = newStrategy(rolling.MaxSurge, rolling.MaxUnavailable, w.replicas)
	}
	if seconds := or(d.Spec.ProgressDeadlineSeconds, 600); seconds == math.MaxInt32 {
		w.deadline = 0
	} else {
		w.deadline = time.Duration(seconds) * time.Second
	}
	s := d.Status
	p := &w.progress
	p.seen = s.ObservedGeneration >= d.Generation
	p.complete = p.seen && s.UpdatedReplicas >= w.replicas && s.Replicas <= s.UpdatedReplicas && s.AvailableReplicas >= s.UpdatedReplicas
	p.line, p.available = replaced(s.UpdatedReplicas, w.replicas, s.AvailableReplicas), s.AvailableReplicas
	for _, c := range s.Conditions {
		switch {
		case !p.seen:
		case c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded":
			p.failed = "its progress deadline is exceeded"
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			p.trouble = oneLine(c.Message)
		}
	}
	return w
}

func viewStatefulSet(s *appsv1.StatefulSet) *workload {
	w := newWorkload(StatefulSet, &s.ObjectMeta, &s.Spec.Template)
	w.replicas = or(s.Spec.Replicas, 1)
	want := w.replicas
	if rolling := s.Spec.UpdateStrategy.RollingUpdate; rolling != nil {
		want -= min(want, or(rolling.Partition, 0))
		w.partial = want < w.replicas
	}
	w.strategy.onDelete = s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	st := s.Status
	updated := st.UpdatedReplicas
	if st.UpdateRevision == st.CurrentRevision {
		updated = st.Replicas // the controller counts none once all are
	}
	w.progress.seen = st.ObservedGeneration >= s.Generation
	w.progress.complete = w.progress.seen && updated >= want && st.Replicas == w.replicas && st.AvailableReplicas >= w.replicas
	w.progress.line, w.progress.available = replaced(updated, want, st.AvailableReplicas), st.AvailableReplicas
	return w
}

func viewDaemonSet(d *appsv1.DaemonSet) *workload {
	w := newWorkload(DaemonSet, &d.ObjectMeta, &d.Spec.Template)
	st := d.Status
	w.replicas = st.DesiredNumberScheduled
	if rolling := d.Spec.UpdateStrategy.RollingUpdate; rolling != nil && d.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		w.strategy = newStrategy(rolling.MaxSurge, rolling.MaxUnavailable, w.replicas)
	}
	w.strategy.onDelete = d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	w.progress.seen = st.ObservedGeneration >= d.Generation
	w.progress.complete = w.progress.seen && st.UpdatedNumberScheduled >= w.replicas && st.NumberAvailable >= w.replicas
	w.progress.line, w.progress.available = replaced(st.UpdatedNumberScheduled, w.replicas, st.NumberAvailable), st.NumberAvailable
	return w
}

// viewCronJob: a CronJob has no pods of its own; the next job runs the image.
func viewCronJob(c *batchv1.CronJob) *workload {
	w := newWorkload(CronJob, &c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template)
	w.progress = progress{seen: true, complete: true, line: "its next job runs it"}
	return w
}

// newStrategy resolves shares of the replicas as the controllers do: of a surge
// upwards, of those that may be missing downwards, and not both to nothing.
func newStrategy(surge, down *intstr.IntOrString, replicas int32) strategy {
	s := strategy{rolling: true, surge: surge, down: down}
	// What cannot be read counts as nothing; the API server lets in no such.
	s.surgePods, _ = intstr.GetScaledValueFromIntOrPercent(new(or(surge, intstr.FromInt32(0))), int(replicas), true)
	s.downPods, _ = intstr.GetScaledValueFromIntOrPercent(new(or(down, intstr.FromInt32(0))), int(replicas), false)
	if s.surgePods == 0 && s.downPods == 0 {
		s.downPods = 1
	}
	return s
}

func replaced(updated, want, available int32) string {
	return fmt.Sprintf("%d of %d replaced, %d available", updated, want, available)
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
