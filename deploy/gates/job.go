package gates

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
)

// keepFor is for how long a test that ended can be looked at, in seconds.
const keepFor = 3600

// component is what a test's Job and pod are labelled as.
const component = "smoke-test"

// jobFor is the Job that runs a command in a candidate's image: as the
// environment's pod, on a node for it, but for what would touch the environment:
// its labels, by which a Service or a controller would take it for one of its
// own, its claims, its ports and its other containers.
func jobFor(c deploy.Candidate, name string, command []string, timeout time.Duration, gpu bool) *batchv1.Job {
	spec := c.Template.Spec.DeepCopy()
	spec.RestartPolicy = corev1.RestartPolicyNever
	// A test pushes nobody off a node.
	spec.PriorityClassName, spec.Priority, spec.PreemptionPolicy = "", nil, nil
	spec.SchedulingGates = nil // they wait for the image that is tested
	spec.NodeName, spec.Hostname, spec.Subdomain, spec.SetHostnameAsFQDN = "", "", "", nil
	spec.TopologySpreadConstraints, spec.ActiveDeadlineSeconds, spec.ReadinessGates, spec.EphemeralContainers = nil, nil, nil, nil
	if spec.Affinity != nil {
		spec.Affinity.PodAffinity, spec.Affinity.PodAntiAffinity = nil, nil
	}
	spec.TerminationGracePeriodSeconds = new(int64(5))
	// What goes on beside the container for as long as it runs would never end.
	spec.InitContainers = slices.DeleteFunc(spec.InitContainers, func(i corev1.Container) bool { return i.RestartPolicy != nil })
	main := containerNamed(slices.Concat(c.Template.Spec.Containers, c.Template.Spec.InitContainers), c.Container)
	spec.InitContainers = slices.DeleteFunc(spec.InitContainers, func(i corev1.Container) bool { return i.Name == c.Container })
	main.Image, main.Command, main.Args = c.Image, command, nil
	main.Ports, main.LivenessProbe, main.ReadinessProbe, main.StartupProbe, main.Lifecycle, main.RestartPolicy = nil, nil, nil, nil, nil, nil
	main.Stdin, main.TTY = false, false
	// The end of what it printed is told where it fails.
	main.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	if !gpu {
		main.Resources.Limits, main.Resources.Requests = withoutGPUs(main.Resources.Limits), withoutGPUs(main.Resources.Requests)
	}
	spec.Containers = []corev1.Container{main}
	spec.Volumes = volumes(spec)
	labels := map[string]string{"app.kubernetes.io/managed-by": "lab-layers", "app.kubernetes.io/component": component}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Environment.Namespace, Labels: labels, Annotations: annotations(c)},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)), ActiveDeadlineSeconds: new(int64(timeout.Seconds())), TTLSecondsAfterFinished: new(int32(keepFor)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: *spec},
		},
	}
}

// annotations are those of a candidate's test.
func annotations(c deploy.Candidate) map[string]string {
	return map[string]string{prefix + "environment": c.Environment.String(), prefix + "image": c.Image}
}

// testOf reports whether a Job is a candidate's test. Who may make Jobs of any
// name, but not say what is in them, cannot have one pass for it.
func testOf(job *batchv1.Job, c deploy.Candidate) bool {
	if job.Labels["app.kubernetes.io/component"] != component || metav1.GetControllerOf(job) != nil {
		return false
	}
	for name, value := range annotations(c) {
		if job.Annotations[name] != value {
			return false
		}
	}
	return true
}

func containerNamed(list []corev1.Container, name string) corev1.Container {
	for _, c := range list {
		if c.Name == name {
			return *c.DeepCopy()
		}
	}
	return corev1.Container{Name: name}
}

// volumes are those of a pod, with an empty one for each claim: the data of
// people is not to be touched, and may be held by another node. A StatefulSet's
// template mounts claims that it does not list.
func volumes(spec *corev1.PodSpec) []corev1.Volume {
	var list []corev1.Volume
	known := map[string]bool{}
	for _, v := range spec.Volumes {
		if v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			v.VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}
		known[v.Name] = true
		list = append(list, v)
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			if !known[m.Name] {
				known[m.Name] = true
				list = append(list, corev1.Volume{Name: m.Name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
			}
		}
	}
	return list
}

func isGPU(name corev1.ResourceName) bool { return strings.HasPrefix(string(name), "nvidia.com/") }

func withoutGPUs(list corev1.ResourceList) corev1.ResourceList {
	kept := corev1.ResourceList{}
	for name, quantity := range list {
		if !isGPU(name) {
			kept[name] = quantity
		}
	}
	return kept
}

func takesGPU(job *batchv1.Job) bool {
	for _, c := range job.Spec.Template.Spec.Containers {
		for name := range c.Resources.Limits {
			if isGPU(name) {
				return true
			}
		}
	}
	return false
}
