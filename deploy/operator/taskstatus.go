package operator

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// taskStanding is where a task stands by what was made of it.
func taskStanding(t *api.LabTask, o observed) standing {
	if ended, ok := jobEnd(o.job); ok {
		return jobStanding(t, ended, o.pods)
	}
	var last *corev1.Pod
	if len(o.pods) > 0 {
		last = o.pods[len(o.pods)-1]
	}
	switch {
	case o.noKueue:
		return standing{deploy.TaskQueued, noKueue, fmt.Sprintf("it waits for queue %s, and the cluster has no Kueue: install that, or submit it without a queue", t.Spec.Queue)}
	case suspended(o.job) && t.Spec.Queue != "":
		return standing{deploy.TaskQueued, "Suspended", "it waits for queue " + t.Spec.Queue + " to admit it"}
	case suspended(o.job):
		return standing{deploy.TaskQueued, "Suspended", "somebody suspended its Job"}
	case last != nil && !ended(last):
		s := podStanding(last)
		if o.shortage != "" {
			s.reason = printable(o.shortage+": "+s.reason, maxReason)
		}
		return s
	case o.job.Spec.Parallelism != nil && *o.job.Spec.Parallelism == 0:
		return standing{deploy.TaskQueued, "JobEdited", "somebody set the parallelism of its Job to 0"}
	case o.refusal != "" && (last == nil || o.job.Status.Active == 0 && !ending(o.job)):
		return refused(o.refusal)
	case last == nil:
		return standing{deploy.TaskQueued, "Pending", "its pod is about to be made"}
	}
	code, reason := failure(last)
	switch {
	case code == "" || ending(o.job) || max(failures(o.pods), o.job.Status.Failed) > t.Spec.Retries:
		return standing{deploy.TaskEnding, cmp.Or(code, "Ending"), reason}
	case disrupted(last):
		return standing{deploy.TaskQueued, "Disrupted", "its pod was taken off its node, it begins anew: " + reason}
	}
	return standing{deploy.TaskQueued, "Retrying", fmt.Sprintf("attempt %d failed, it begins anew: %s", len(o.pods), reason)}
}

// noKueue is why a task waits where its queue is nobody's.
const noKueue = "NoKueue"

// suspended reports whether a Job is to make no pods for now.
func suspended(j *batchv1.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

// jobEnd is the condition with which a Job has ended.
func jobEnd(j *batchv1.Job) (batchv1.JobCondition, bool) {
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c, true
		}
	}
	return batchv1.JobCondition{}, false
}

// ending reports whether it is decided how a Job ends.
func ending(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobFailureTarget || c.Type == batchv1.JobSuccessCriteriaMet) {
			return true
		}
	}
	return false
}

// jobStanding is where a task stands whose Job has ended.
func jobStanding(t *api.LabTask, end batchv1.JobCondition, pods []*corev1.Pod) standing {
	switch {
	case end.Type == batchv1.JobComplete:
		return standing{deploy.TaskSucceeded, "Succeeded", ""}
	case end.Reason == batchv1.JobReasonDeadlineExceeded:
		return standing{deploy.TaskFailed, end.Reason, "it took longer than its deadline of " + t.Spec.Deadline}
	}
	for i := len(pods) - 1; i >= 0; i-- {
		if code, reason := failure(pods[i]); code != "" {
			return standing{deploy.TaskFailed, code, reason}
		}
	}
	return standing{deploy.TaskFailed, word(end.Reason, "JobFailed"), printable(cmp.Or(end.Message, end.Reason), maxReason)}
}

// refused tells why the API server lets no pod be made.
func refused(message string) standing {
	if _, after, ok := strings.Cut(message, "forbidden: "); ok {
		message = after
	}
	s := standing{deploy.TaskQueued, "PodRefused", printable(message, maxReason)}
	if strings.Contains(message, "exceeded quota") {
		s.code = "QuotaExceeded"
	}
	return s
}

// stamp puts time stamps and durations into a status. What was known stays known
// when the pods that told it are gone.
func stamp(t *api.LabTask, is *api.LabTaskStatus, s standing, o observed) {
	seen := podTimes(o.pods)
	set := func(place **metav1.Time, now time.Time) {
		if !now.IsZero() && (*place == nil || !(*place).Time.Equal(now)) {
			*place = new(metav1.NewTime(now.UTC()))
		}
	}
	earliest := func(place **metav1.Time, now time.Time) {
		if *place == nil || now.Before((*place).Time) {
			set(place, now)
		}
	}
	earliest(&is.Times.Admitted, seen.Admitted)
	earliest(&is.Times.Scheduled, seen.Scheduled)
	earliest(&is.Times.Started, seen.Started)
	if s.state == deploy.TaskEnding || s.state.Final() {
		set(&is.Times.Finished, seen.Finished)
	} else {
		is.Times.Finished = nil
	}
	if o.job != nil {
		if end, ok := jobEnd(o.job); ok {
			set(&is.Times.Released, end.LastTransitionTime.Time)
		}
		is.Attempts = max(is.Attempts, o.job.Status.Active+o.job.Status.Succeeded+o.job.Status.Failed)
	}
	d := times(t, is).Durations()
	is.Durations = api.TaskDurations{Scheduling: whole(d.Scheduling), Initialisation: whole(d.Initialisation), Run: whole(d.Run), Reclaim: whole(d.Reclaim)}
}

func whole(d *time.Duration) *metav1.Duration {
	if d == nil {
		return nil
	}
	return &metav1.Duration{Duration: *d}
}

// times are the time stamps of a task by a status.
func times(t *api.LabTask, is *api.LabTaskStatus) deploy.TaskTimes {
	known := func(at *metav1.Time) (is time.Time) {
		if at != nil {
			is = at.Time
		}
		return is
	}
	return deploy.TaskTimes{
		Submitted: t.CreationTimestamp.Time, Admitted: known(is.Times.Admitted), Scheduled: known(is.Times.Scheduled),
		Started: known(is.Times.Started), Finished: known(is.Times.Finished), Released: known(is.Times.Released),
	}
}

// tell puts where a task stands into its status.
func (s standing) tell(t *api.LabTask, is *api.LabTaskStatus) {
	is.State, is.Reason = strings.ToUpper(string(s.state[:1]))+string(s.state[1:]), s.reason
	is.Short = short(is.Digest, is.Commit, is.Reason)
	set := func(kind string, holds bool, since *metav1.Time) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: s.code, Message: s.reason, ObservedGeneration: t.Generation}
		if holds {
			c.Status = metav1.ConditionTrue
			if since != nil {
				c.LastTransitionTime = *since
			}
		}
		meta.SetStatusCondition(&is.Conditions, c)
	}
	if is.Digest == "" {
		set(api.Pinned, false, nil)
	}
	set(api.Queued, s.state == deploy.TaskQueued, nil)
	set(api.Scheduled, s.state == deploy.TaskStarting || s.state == deploy.TaskRunning || s.state == deploy.TaskEnding, is.Times.Scheduled)
	set(api.Running, s.state == deploy.TaskRunning, is.Times.Started)
	set(api.Complete, s.state == deploy.TaskSucceeded, is.Times.Released)
	set(api.Failed, s.state == deploy.TaskFailed, is.Times.Released)
}

// stateOf is the state that a status tells.
func stateOf(is *api.LabTaskStatus) deploy.TaskState {
	return deploy.TaskState(strings.ToLower(is.State))
}
