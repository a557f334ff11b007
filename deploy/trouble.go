package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// trouble is what keeps a pod from running, in one line.
type trouble struct {
	line string
	// hopeless is true for what does not pass by waiting.
	hopeless bool
	// unplaced is true for a pod that no node has room for.
	unplaced bool
	// unready is a pod that runs and is not ready, in one line. That is no trouble of
	// one that has just started, so it is told where somebody has waited for it.
	unready string
}

// crashes is how often a container may end before it counts as one that will
// never run.
const crashes = 3

// worst finds what to tell of pods: what is hopeless first.
func worst(pods []*corev1.Pod) (worst trouble) {
	unready := ""
	for _, pod := range pods {
		t := troubleOf(pod)
		unready = cmp.Or(unready, t.unready)
		if t.hopeless && !worst.hopeless || worst.line == "" {
			t.unplaced = t.unplaced || worst.unplaced
			worst = t
		} else {
			worst.unplaced = worst.unplaced || t.unplaced
		}
	}
	worst.unready = unready
	return worst
}

func troubleOf(pod *corev1.Pod) trouble {
	if pod.DeletionTimestamp != nil {
		return trouble{}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			line := fmt.Sprintf("pod %s: %s", pod.Name, oneLine(c.Message))
			if strings.Contains(c.Message, "unbound immediate PersistentVolumeClaims") {
				line += claimRemedy
			}
			return trouble{line: line, unplaced: true}
		}
	}
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for _, c := range statuses {
		waiting := c.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "", "PodInitializing", "ContainerCreating":
			continue
		}
		t := trouble{line: fmt.Sprintf("pod %s, container %s: %s", pod.Name, c.Name, waiting.Reason)}
		said := oneLine(waiting.Message)
		switch waiting.Reason {
		case "InvalidImageName", "ErrImageNeverPull":
			t.hopeless = true
		case "ErrImagePull", "ImagePullBackOff":
			t.hopeless = strings.Contains(said, "not found") || strings.Contains(said, "manifest unknown")
		case "CrashLoopBackOff":
			t.hopeless = c.RestartCount >= crashes
			if last := c.LastTerminationState.Terminated; last != nil {
				said = fmt.Sprintf("it ended with exit code %d (%s) %d times", last.ExitCode, last.Reason, c.RestartCount)
			}
		}
		if said != "" {
			t.line += ": " + said
		}
		return t
	}
	if pod.Status.Phase == corev1.PodFailed {
		return trouble{line: fmt.Sprintf("pod %s failed: %s", pod.Name, oneLine(pod.Status.Reason+" "+pod.Status.Message))}
	}
	return trouble{unready: unreadyLine(pod)}
}

// unreadyLine names what is not ready of a pod that runs; empty if nothing is. Which
// probe failed, and how, only events say.
func unreadyLine(pod *corev1.Pod) string {
	if pod.Status.Phase != corev1.PodRunning || podReady(pod) {
		return ""
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil && !c.Ready {
			return fmt.Sprintf("pod %s, container %s: runs and is not ready", pod.Name, c.Name)
		}
	}
	return fmt.Sprintf("pod %s: runs and is not ready", pod.Name)
}

// claimRemedy is what mostly helps a claim that gets no volume.
const claimRemedy = "; where the cluster has no default storage class, name one: in home.storageClassName of a LabEnvironment, or in the claim"

// maxLine bounds what is quoted of others, in characters.
const maxLine = 300

// oneLine is a text of the cluster as it may stand in a reason.
func oneLine(text string) string {
	line := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == ' ' }), " ")
	if runes := []rune(line); len(runes) > maxLine {
		line = string(runes[:maxLine]) + "…"
	}
	return line
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
