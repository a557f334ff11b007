package operator

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// TestTaskOfSeveralAttempts follows a task with a retry from what its Job and pods
// tell.
func TestTaskOfSeveralAttempts(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	after := func(seconds int) metav1.Time { return metav1.NewTime(at.Add(time.Duration(seconds) * time.Second)) }
	attempt := func(begins int, state corev1.ContainerState, phase corev1.PodPhase) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: after(begins)}}
		p.Spec.NodeName, p.Status.Phase = "gpu-1", phase
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: after(begins + 1)}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: mainContainer, State: state}}
		return p
	}
	failed := func(began, ended int) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", Message: "loss\nis NaN\n", StartedAt: after(began), FinishedAt: after(ended)}}
	}
	first := attempt(5, failed(10, 20), corev1.PodFailed)
	running := attempt(30, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: after(32)}}, corev1.PodRunning)
	second := attempt(30, failed(32, 40), corev1.PodFailed)
	evicted := attempt(30, corev1.ContainerState{}, corev1.PodFailed)
	evicted.Status.Reason, evicted.Status.Message = "Evicted", "The node was low on resource: memory."
	job := func(failed int32, conditions ...batchv1.JobCondition) *batchv1.Job {
		return &batchv1.Job{Status: batchv1.JobStatus{Failed: failed, Conditions: conditions}}
	}
	end := func(kind batchv1.JobConditionType) batchv1.JobCondition {
		return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", LastTransitionTime: after(42)}
	}
	drained := attempt(30, corev1.ContainerState{}, corev1.PodFailed)
	drained.Status.Message = "Preempted in order to admit critical pod"
	drained.Status.Conditions = append(drained.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
	once := &api.LabTask{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: after(0)}}
	for _, c := range []struct {
		pods  []*corev1.Pod
		state deploy.TaskState
		code  string
	}{
		{[]*corev1.Pod{first}, deploy.TaskEnding, "ProgramFailed"}, // which its Job has not counted yet
		{[]*corev1.Pod{drained}, deploy.TaskQueued, "Disrupted"},
		{[]*corev1.Pod{drained, first}, deploy.TaskEnding, "ProgramFailed"},
	} {
		if s := taskStanding(once, observed{job: job(0), pods: c.pods}); s.state != c.state || s.code != c.code {
			t.Errorf("without retries it is %+v, not %+v", s, c)
		}
	}
	patient := &api.LabTask{Spec: api.LabTaskSpec{Queue: "ada"}}
	inQueue := job(0)
	inQueue.Spec.Suspend = new(true)
	if s := taskStanding(patient, observed{job: inQueue}); s.code != "Suspended" || s.reason != "it waits for queue ada to admit it" {
		t.Errorf("in a queue it is %+v", s)
	}
	task := &api.LabTask{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: after(0)}, Spec: api.LabTaskSpec{Retries: 1}}
	var is api.LabTaskStatus
	for _, c := range []struct {
		o        observed
		state    deploy.TaskState
		code     string
		reason   string
		finished time.Duration
	}{
		{observed{job: job(0)}, deploy.TaskQueued, "Pending", "about to be made", 0},
		{observed{job: job(0), refusal: `pods "x" is forbidden: no PriorityClass with name fast was found`}, deploy.TaskQueued, "PodRefused", "no PriorityClass", 0},
		{observed{job: job(1), pods: []*corev1.Pod{first}}, deploy.TaskQueued, "Retrying", "attempt 1 failed, it begins anew: exit code 3: is NaN", 0},
		{observed{job: job(1), pods: []*corev1.Pod{first, running}}, deploy.TaskRunning, "Running", "", 0},
		{observed{job: job(2), pods: []*corev1.Pod{first, evicted}}, deploy.TaskEnding, "Evicted", "low on resource", 20 * time.Second},
		{observed{job: job(2, end(batchv1.JobFailureTarget)), pods: []*corev1.Pod{first, second}}, deploy.TaskEnding, "ProgramFailed", "exit code 3: is NaN", 40 * time.Second},
		{observed{job: job(2, end(batchv1.JobFailed)), pods: nil}, deploy.TaskFailed, "BackoffLimitExceeded", "BackoffLimitExceeded", 40 * time.Second},
		{observed{job: job(2, end(batchv1.JobFailed)), pods: []*corev1.Pod{first, second}}, deploy.TaskFailed, "ProgramFailed", "exit code 3: is NaN", 40 * time.Second},
	} {
		s := taskStanding(task, c.o)
		stamp(task, &is, s, c.o)
		s.tell(task, &is)
		if s.state != c.state || s.code != c.code || !strings.Contains(s.reason, c.reason) {
			t.Errorf("it is %+v, not %+v", s, c)
		}
		if got := times(task, &is).Finished; c.finished == 0 != got.IsZero() || c.finished != 0 && got.Sub(at) != c.finished {
			t.Errorf("%s %s: finished at %v", c.state, c.code, got)
		}
	}
	if d := is.Durations; d.Scheduling.Duration != 6*time.Second || d.Initialisation.Duration != 4*time.Second || d.Run.Duration != 30*time.Second || d.Reclaim.Duration != 2*time.Second || is.Attempts != 2 {
		t.Errorf("in the end it is %+v", is)
	}

	// A Job that somebody holds up is told as that.
	held := job(0)
	held.Spec.Suspend = new(true)
	stuck := job(0)
	stuck.Spec.Parallelism = new(int32(0))
	for want, j := range map[string]*batchv1.Job{"Suspended": held, "JobEdited": stuck} {
		if s := taskStanding(task, observed{job: j}); s.state != deploy.TaskQueued || s.code != want {
			t.Errorf("it is %+v, not %s", s, want)
		}
	}
}
