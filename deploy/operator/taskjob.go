package operator

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

const (
	// taskLabel is on all that is made for a task.
	taskLabel = api.Group + "/task"
	// taskUID is an annotation of pods: of several tasks of a name it is that one.
	taskUID = api.Group + "/task-uid"
	// queueLabel names the LocalQueue of Kueue that a Job waits in.
	queueLabel = "kueue.x-k8s.io/queue-name"
	// visibleGPUs is what NVIDIA's runtime goes by; void is to leave a container be.
	visibleGPUs = "NVIDIA_VISIBLE_DEVICES"
)

// track is what a task followed when it was submitted; empty if it was given a
// digest.
func track(t *api.LabTask) string {
	if t.Spec.Digest != "" {
		return ""
	}
	return cmp.Or(t.Spec.Track, deploy.DefaultTrack)
}

// job is what a task asks for, in the image that was chosen for it.
func job(t *api.LabTask) *batchv1.Job {
	labels := map[string]string{taskLabel: t.Name, managedByLabel: "lab-layers"}
	traced := map[string]string{
		deploy.LayerAnnotation + mainContainer: t.Spec.Layer,
		api.Group + "/user":                    t.Spec.User,
		api.Group + "/digest":                  t.Status.Digest,
		api.Group + "/commit":                  t.Status.Commit,
		api.Group + "/run":                     strconv.FormatInt(t.Status.Run, 10),
		taskUID:                                string(t.UID),
	}
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Namespace: t.Namespace, Name: t.Name, Labels: maps.Clone(labels), Annotations: traced,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: api.Version().String(), Kind: "LabTask", Name: t.Name, UID: t.UID, Controller: new(true), BlockOwnerDeletion: new(false),
		}},
	}}
	j.Spec.BackoffLimit = new(t.Spec.Retries)
	if limit, ok := duration(t.Spec.Deadline); ok {
		j.Spec.ActiveDeadlineSeconds = new(int64(limit.Seconds()))
	}
	if t.Spec.Queue != "" {
		j.Labels[queueLabel] = t.Spec.Queue
		j.Spec.Suspend = new(true)
	}
	// What the cluster takes off a node by itself is no failure of the program.
	j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action:          batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
	}}}
	j.Spec.Template.Labels, j.Spec.Template.Annotations = labels, traced
	spec := podOf(&t.Spec.Container, &t.Spec.Scheduling, t.Spec.GPU, t.Status.Image)
	spec.RestartPolicy = corev1.RestartPolicyNever
	if t.Spec.GPU == nil {
		// Most images on CUDA ask for all GPUs, and get them where NVIDIA's runtime is
		// the node's own.
		spec.Containers[0].Env = append(slices.Clone(spec.Containers[0].Env), corev1.EnvVar{Name: visibleGPUs, Value: "void"})
	}
	// The end of what it printed is told where it fails.
	spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	j.Spec.Template.Spec = spec
	return j
}

// duration is a time as the types allow them; false if there is none.
func duration(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}
