package operator

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
)

// standing is where a task stands, and why: in a word and in one line.
type standing struct {
	state  deploy.TaskState
	code   string
	reason string
}

// ended reports whether a pod has come to its end.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// mainOf is what a pod says of its program; nil if nothing yet.
func mainOf(p *corev1.Pod) *corev1.ContainerStatus {
	i := slices.IndexFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == mainContainer })
	if i < 0 {
		return nil
	}
	return &p.Status.ContainerStatuses[i]
}

// podStanding is where a task stands by a pod that has not ended.
func podStanding(p *corev1.Pod) standing {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return standing{deploy.TaskQueued, word(c.Reason, "Unschedulable"), printable(c.Message, maxReason)}
		}
	}
	if p.Spec.NodeName == "" {
		return standing{deploy.TaskQueued, "Pending", "it waits for a node"}
	}
	c := mainOf(p)
	switch {
	case p.DeletionTimestamp != nil:
		return standing{deploy.TaskEnding, "PodDeleted", fmt.Sprintf("its pod %s is being deleted", p.Name)}
	case c != nil && c.State.Running != nil:
		return standing{deploy.TaskRunning, "Running", ""}
	case c != nil && c.State.Terminated != nil:
		return standing{deploy.TaskEnding, "Ending", ""}
	case c != nil && c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating" && c.State.Waiting.Reason != "PodInitializing":
		w := c.State.Waiting
		return standing{deploy.TaskStarting, word(w.Reason, "Starting"), printable(w.Reason+": "+w.Message, maxReason)}
	}
	return standing{deploy.TaskStarting, "Starting", "it was given node " + p.Spec.NodeName}
}

// unschedulable reports whether no node will do for a pod, as things are.
func unschedulable(p *corev1.Pod) bool {
	return !ended(p) && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// failure says what a pod's program died of: in a word and in one line. Both are
// empty if it did not fail.
func failure(p *corev1.Pod) (code, reason string) {
	if c := mainOf(p); c != nil && c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
		t := c.State.Terminated
		code, reason = "ProgramFailed", fmt.Sprintf("exit code %d", t.ExitCode)
		if t.Reason != "" && t.Reason != "Error" {
			code, reason = word(t.Reason, code), reason+" ("+t.Reason+")"
		}
		if last := lastLine(t.Message); last != "" {
			reason += ": " + last
		}
		return code, printable(reason, maxReason)
	}
	if p.Status.Phase == corev1.PodFailed {
		return word(p.Status.Reason, "PodFailed"), printable(cmp.Or(p.Status.Message, p.Status.Reason, "its pod failed"), maxReason)
	}
	return "", ""
}

// disrupted reports whether the cluster took a pod off its node, which is no failure
// of its program.
func disrupted(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}

// failures is how many attempts failed. The Job counts them, too, and later.
func failures(pods []*corev1.Pod) (n int32) {
	for _, p := range pods {
		if code, _ := failure(p); code != "" && !disrupted(p) {
			n++
		}
	}
	return n
}

// lastLine is the last of a text: of a traceback the error.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

var conditionReason = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]{0,100}[A-Za-z0-9_])?$`)

// word is a reason of the cluster as a condition may have it.
func word(reason, otherwise string) string {
	if conditionReason.MatchString(reason) {
		return reason
	}
	return otherwise
}

// podTimes are the time stamps of a task's pods, also of those that are gone. Of
// several attempts the first begins and the last ends it.
func podTimes(pods []*corev1.Pod) (t deploy.TaskTimes) {
	first := func(place *time.Time, is time.Time) {
		if !is.IsZero() && (place.IsZero() || is.Before(*place)) {
			*place = is
		}
	}
	for _, p := range pods {
		first(&t.Admitted, p.CreationTimestamp.Time)
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
				first(&t.Scheduled, c.LastTransitionTime.Time)
			}
		}
		began, end := programTimes(p)
		first(&t.Started, began)
		if end.After(t.Finished) {
			t.Finished = end
		}
	}
	return t
}

// programTimes are those of one pod's program. One whose pod was deleted, and told
// nothing of its end, was told to end when the pod was.
func programTimes(p *corev1.Pod) (began, end time.Time) {
	c := mainOf(p)
	if c == nil {
		return began, end
	}
	switch {
	case c.State.Terminated != nil:
		began, end = c.State.Terminated.StartedAt.Time, c.State.Terminated.FinishedAt.Time
	case c.State.Running != nil:
		began = c.State.Running.StartedAt.Time
		if d := p.DeletionTimestamp; d != nil {
			end = d.Time
			if grace := p.DeletionGracePeriodSeconds; grace != nil {
				end = end.Add(-time.Duration(*grace) * time.Second)
			}
		}
	}
	return began, end
}
