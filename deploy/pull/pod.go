package pull

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	componentLabel = "app.kubernetes.io/component"
	managedByLabel = "app.kubernetes.io/managed-by"
	component      = "pre-pull"
	manager        = "lab-layers"
	// nothing is where commands are that no image has.
	nothing = "/lab-layers.dev/nothing/"
	// nobody is a user that needs not be in the image.
	nobody = 65534
)

// Order is one image to be pulled on one node, for a workload.
type Order struct {
	Namespace string
	// For is the workload. It takes the pod along when it is deleted.
	For      metav1.OwnerReference
	Template *corev1.PodTemplateSpec
	Image    string // by digest
	Node     string
	// Limit is how long it may take.
	Limit time.Duration
}

// Name is the pod's: the same for the same order, whoever gives it.
func (o Order) Name() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(o.For.UID), o.Image, o.Node}, "\x00")))
	name := o.For.Name
	if len(name) > 40 {
		name = name[:40]
	}
	return "pull-" + strings.TrimRight(strings.ReplaceAll(name, ".", "-"), "-") + "-" + hex.EncodeToString(sum[:8])
}

// command is one that the image does not have: its start fails, which is after the
// pull. So nothing of the image is run, and it may be one without a shell. Who makes
// an image cannot put it there, as its name is made of the image's own digest.
func (o Order) command() string { return nothing + o.Name() }

// Pod is the pod of the order. It has the template's account and secrets, as the
// registry may ask for them, and its class of runtime, which may keep images of its
// own; no token, no right, no device and no claim on anything of the node. It is
// admitted where pods are restricted most.
func (o Order) Pod() *corev1.Pod {
	t := &o.Template.Spec
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Name(), Namespace: o.Namespace,
			Labels:          map[string]string{componentLabel: component, managedByLabel: manager},
			OwnerReferences: []metav1.OwnerReference{o.For},
		},
		Spec: corev1.PodSpec{
			NodeName:                      o.Node,
			RestartPolicy:                 corev1.RestartPolicyNever,
			ActiveDeadlineSeconds:         new(max(1, int64(math.Ceil(o.Limit.Seconds())))),
			TerminationGracePeriodSeconds: new(int64(0)),
			ServiceAccountName:            t.ServiceAccountName,
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			ImagePullSecrets:              t.ImagePullSecrets,
			RuntimeClassName:              t.RuntimeClassName,
			Tolerations:                   t.Tolerations,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(nobody)), RunAsGroup: new(int64(nobody)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "image", Image: o.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{o.command()},
				// The image may ask for all GPUs where NVIDIA's runtime is the node's own.
				Env: []corev1.EnvVar{{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// For is the workload that a pod pulls an image for; ok is false for any other pod.
func For(pod *corev1.Pod) (owner metav1.OwnerReference, ok bool) {
	if pod.Labels[componentLabel] != component || pod.Labels[managedByLabel] != manager || len(pod.OwnerReferences) != 1 || len(pod.Spec.Containers) != 1 {
		return owner, false
	}
	return pod.OwnerReferences[0], true
}

// Image is what the pod pulls.
func Image(pod *corev1.Pod) string { return pod.Spec.Containers[0].Image }
