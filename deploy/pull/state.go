package pull

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// State is how far a pod is.
type State string

// The states.
const (
	Going State = "going"
	// Done: the node has the image.
	Done   State = "done"
	Failed State = "failed"
)

// unknownEnd is what the kubelet says of a container that it has never made, once
// the pod has ended.
const unknownEnd = "ContainerStatusUnknown"

// Of says how far a pod is, and why it is not further; empty if nothing is in the
// way. A container that could not be made or started was made of an image that is
// there.
func Of(pod *corev1.Pod) (state State, why string) {
	for _, c := range pod.Status.ContainerStatuses {
		switch w := c.State.Waiting; {
		case c.ImageID != "", c.State.Running != nil, c.State.Terminated != nil && c.State.Terminated.Reason != unknownEnd:
			return Done, ""
		case w == nil:
		case w.Reason == "CreateContainerConfigError", w.Reason == "CreateContainerError", w.Reason == "RunContainerError":
			return Done, ""
		case w.Reason == "InvalidImageName", w.Reason == "ErrImageNeverPull":
			return Failed, w.Reason
		case w.Reason == "ErrImagePull", w.Reason == "ImagePullBackOff", w.Reason == "ImageInspectError", w.Reason == "RegistryUnavailable", w.Reason == "SignatureValidationFailed":
			why = w.Reason
			if w.Message != "" {
				why += ": " + w.Message
			}
			if strings.Contains(w.Message, "not found") || strings.Contains(w.Message, "manifest unknown") {
				return Failed, why
			}
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return Failed, cmp.Or(pod.Status.Reason, pod.Status.Message, "the pod failed")
	}
	return Going, why
}

// Took is how long the node took to get the image, by its own clock; 0 if that is
// not known.
func Took(pod *corev1.Pod) time.Duration {
	if pod.Status.StartTime == nil {
		return 0
	}
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.State.Running != nil:
			return max(0, c.State.Running.StartedAt.Sub(pod.Status.StartTime.Time))
		case c.State.Terminated != nil:
			return max(0, c.State.Terminated.FinishedAt.Sub(pod.Status.StartTime.Time))
		}
	}
	return 0
}
