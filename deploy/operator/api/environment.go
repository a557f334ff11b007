package api

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabEnvironment is what runs a layer's image for people: the operator makes a
// Deployment of it, a Service and a disruption budget, and the image follows the
// track.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=labenv,categories=lab-layers
// +kubebuilder:selectablefield:JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Layer",type=string,JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="Track",type=string,JSONPath=`.spec.track`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.short.nodes`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.short.digest`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.short.commit`
// +kubebuilder:printcolumn:name="Pinned",type=string,JSONPath=`.status.pinned`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.short.reason`
// +kubebuilder:printcolumn:name="Full Digest",type=string,JSONPath=`.status.digest`,priority=1
// +kubebuilder:printcolumn:name="Full Commit",type=string,JSONPath=`.status.commit`,priority=1
// +kubebuilder:printcolumn:name="Full Nodes",type=string,JSONPath=`.status.nodes`,priority=1
// +kubebuilder:printcolumn:name="Full Reason",type=string,JSONPath=`.status.reason`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="the name is that of a Service, too: small letters, digits and hyphens, 63 at the most, a letter first"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.students) || self.spec.students.all(s, self.metadata.name.size() + s.size() < 63)",message="its name, a hyphen and a student's are the name of the student's environment: 63 at the most"
type LabEnvironment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   LabEnvironmentSpec   `json:"spec"`
	Status LabEnvironmentStatus `json:"status,omitempty"`
}

// LabEnvironmentSpec is what is asked for.
//
// +kubebuilder:validation:XValidation:rule="has(self.students) == has(oldSelf.students)",message="an environment stays one for all or one for each student: make another"
// +kubebuilder:validation:XValidation:rule="!has(self.students) || !has(self.replicas) || self.replicas <= 1",message="each student has one pod: leave replicas out, or take 0 to stop all"
// +kubebuilder:validation:XValidation:rule="!has(self.home) || has(self.students)",message="a home is a student's: name students"
type LabEnvironmentSpec struct {
	// Repository is the name that the agent knows it by; needed only where it
	// watches several.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Repository string `json:"repository,omitempty"`
	// Layer whose image runs.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+([._-]+[a-z0-9]+)*$`
	Layer string `json:"layer"`
	// Track is a branch, or a pattern of Git tags such as v*.
	// +kubebuilder:default=main
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Track string `json:"track,omitempty"`
	// Replicas are how many pods there are.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`
	// Students have an environment each: one of this kind by the name of this and
	// theirs, with a pod and a Service. Its image follows by itself, so that each
	// can be rolled back, held or drained alone.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`
	Students []string `json:"students,omitempty"`
	// Home is a volume of each student.
	// +optional
	Home *Home `json:"home,omitempty"`
	// +optional
	GPU *GPU `json:"gpu,omitempty"`
	// +optional
	Scheduling Scheduling `json:"scheduling,omitzero"`
	// +optional
	Rollout Rollout `json:"rollout,omitzero"`
	// +optional
	Container Container `json:"container,omitzero"`
}

// Home is a volume that a claim is made for, by the name of the student's
// environment. The claim is never deleted, nor changed once it is there.
type Home struct {
	// Size of a claim that is made.
	Size resource.Quantity `json:"size"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`
	// +kubebuilder:default="/home/student"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	MountPath string `json:"mountPath,omitempty"`
}

// GPU is what each pod asks for.
type GPU struct {
	Devices `json:",inline"`
	// DriverPolicy says what follows where the image does not fit a node's driver.
	// Strict refuses it also where that is unknown.
	// +optional
	// +kubebuilder:validation:Enum=Strict;Refuse;Warn;Ignore
	DriverPolicy string `json:"driverPolicy,omitempty"`
}

// Devices are the GPUs of a pod.
type Devices struct {
	// Count of GPUs.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Count int32 `json:"count"`
	// Resource is how nodes call them.
	// +kubebuilder:default="nvidia.com/gpu"
	// +kubebuilder:validation:Pattern=`/`
	// +kubebuilder:validation:MaxLength=253
	Resource string `json:"resource,omitempty"`
	// Memory that each GPU has at least, such as 40Gi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
	// ComputeCapability that each GPU has at least, such as "8.0".
	// +optional
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]?\.[0-9]$`
	ComputeCapability string `json:"computeCapability,omitempty"`
	// Products that will do, as GPU Feature Discovery names them; none is any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Products []string `json:"products,omitempty"`
}

// Scheduling is where an environment's pods go.
type Scheduling struct {
	Placement `json:",inline"`
	// Spread puts the pods on as many nodes as there are, if it can.
	// +optional
	Spread bool `json:"spread,omitempty"`
}

// Placement is where a pod goes, and before which others.
type Placement struct {
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// Rollout is how and when the environment gets new images.
//
// +kubebuilder:validation:XValidation:rule="!has(self.whenIdle) || !has(self.whenIdle.latest) || self.whenIdle.latest != 'Window' || has(self.window) || has(self.freeze)",message="whenIdle.latest is Window, and there is no window"
type Rollout struct {
	// Window is when rollouts may begin: "CRON_TZ=Europe/Vienna 0 2 * * * for 3h".
	// +optional
	Window Windows `json:"window,omitempty"`
	// Freeze is when none may begin, in the same way.
	// +optional
	Freeze Windows `json:"freeze,omitempty"`
	// Strategy is Recreate if all old pods are to go first.
	// +optional
	// +kubebuilder:validation:Enum=RollingUpdate;Recreate
	Strategy string `json:"strategy,omitempty"`
	// ProgressDeadline is how long a rollout may make no progress.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="write a time such as 10m"
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	// Canary is true for an environment that gets releases before the others on
	// its base, and false for one that does not wait for it.
	// +optional
	Canary *bool `json:"canary,omitempty"`
	// Drift says what follows where somebody sets the image by hand.
	// +optional
	// +kubebuilder:validation:Enum=Report;Correct
	Drift string `json:"drift,omitempty"`
	// Smoke is what must succeed in the new image first.
	// +optional
	Smoke *Smoke `json:"smoke,omitempty"`
	// WhenIdle waits until the GPUs of the nodes on which the pods run are idle.
	// +optional
	WhenIdle *WhenIdle `json:"whenIdle,omitempty"`
	// PrePull has the nodes pull the image before the rollout begins.
	// +optional
	PrePull *PrePull `json:"prePull,omitempty"`
}

// Windows are cron expressions with lengths, with semicolons or line breaks between.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.matches('^[;[:space:]]*(((CRON_)?TZ=[^[:space:];]+[[:space:]]+)?(@[a-z]+|([^[:space:];]+[[:space:]]+){4}[^[:space:];]+)[[:space:]]+for[[:space:]]+[0-9a-z.]+([;[:space:]]+|$))*$')",message="write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h; several with semicolons between"
type Windows string

// WhenIdle is how long a rollout waits for GPUs to be idle.
type WhenIdle struct {
	// For is for how long they must have been, such as 15m.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="write a time such as 15m"
	For metav1.Duration `json:"for"`
	// Latest is for how long that is waited for at the most, such as 48h, or Window:
	// until the window is about to close. Without it that is for ever.
	// +optional
	// +kubebuilder:validation:Pattern=`^(Window|([0-9]+(\.[0-9]+)?(h|m|s))+)$`
	// +kubebuilder:validation:MaxLength=40
	Latest string `json:"latest,omitempty"`
	// Unknown says what follows where a node does not tell whether it is idle.
	// +optional
	// +kubebuilder:validation:Enum=Wait;Roll
	Unknown string `json:"unknown,omitempty"`
}

// PrePull is how nodes pull an image before a rollout.
type PrePull struct {
	// Parallel is how many nodes pull at once, those for other environments
	// included.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Parallel int32 `json:"parallel"`
	// Timeout is how long it may take in all; an hour by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="write a time such as 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Policy is what follows where not all nodes have the image then.
	// +optional
	// +kubebuilder:validation:Enum=Continue;Hold
	Policy string `json:"policy,omitempty"`
}

// Smoke is a test of an image.
type Smoke struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	Command []string `json:"command"`
	// Timeout includes pulling the image.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="write a time such as 15m, a day at the most"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Container is how an environment's image is run.
type Container struct {
	Program `json:",inline"`
	// Ports are those of the Service, too.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Ports []Port `json:"ports,omitempty"`
	// +optional
	Readiness *corev1.Probe `json:"readiness,omitempty"`
	// +optional
	Liveness *corev1.Probe `json:"liveness,omitempty"`
	// +optional
	Startup *corev1.Probe `json:"startup,omitempty"`
}

// Program is what runs in the image, and with what.
type Program struct {
	// +optional
	// +listType=atomic
	Command []string `json:"command,omitempty"`
	// +optional
	// +listType=atomic
	Args []string `json:"args,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=name
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Resources beside GPUs.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// Volumes are data sets, settings and scratch space.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Volumes []Volume `json:"volumes,omitempty"`
	// PullSecrets are Secrets with the registry's credentials.
	// +optional
	// +listType=set
	PullSecrets []string `json:"pullSecrets,omitempty"`
}

// Port is one on which the container listens.
type Port struct {
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]{0,13}[a-z0-9])?$`
	Name string `json:"name"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// Volume is mounted from one source. Nothing of the node can be.
//
// +kubebuilder:validation:XValidation:rule="(has(self.claim) ? 1 : 0) + (has(self.configMap) ? 1 : 0) + (has(self.secret) ? 1 : 0) + (has(self.scratch) ? 1 : 0) == 1",message="take one of claim, configMap, secret and scratch"
type Volume struct {
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	MountPath string `json:"mountPath"`
	// +optional
	SubPath string `json:"subPath,omitempty"`
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
	// Claim is the name of a PersistentVolumeClaim.
	// +optional
	Claim string `json:"claim,omitempty"`
	// +optional
	ConfigMap string `json:"configMap,omitempty"`
	// +optional
	Secret string `json:"secret,omitempty"`
	// Scratch is the size of an empty directory.
	// +optional
	Scratch *resource.Quantity `json:"scratch,omitempty"`
}

// LabEnvironmentStatus is where it stands.
type LabEnvironmentStatus struct {
	// ObservedGeneration is that of the spec which the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// State is that of "lab-layers environments".
	// +optional
	State string `json:"state,omitempty"`
	// Reason is why it stands so, in one line.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Image that the pods have, by digest.
	// +optional
	Image string `json:"image,omitempty"`
	// +optional
	Digest string `json:"digest,omitempty"`
	// Commit whose image it is.
	// +optional
	Commit string `json:"commit,omitempty"`
	// Pinned is who keeps it at the image; empty if nobody does.
	// +optional
	Pinned string `json:"pinned,omitempty"`
	// Environments are how many there are of students; 0 where it is one itself.
	// +optional
	Environments int32 `json:"environments,omitempty"`
	// Nodes is on how many of the nodes that its pods may run on the image is: the
	// one that it has, or is about to get. It is such as "9 of 12; not on gpu-3, gpu-7,
	// gpu-9".
	// +optional
	Nodes string `json:"nodes,omitempty"`
	// Short is what tables show of these.
	// +optional
	Short Short `json:"short,omitzero"`
	// Available are the pods that serve.
	Available int32 `json:"available"`
	// Conditions are Ready, Progressing and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LabEnvironmentList is a list of them.
//
// +kubebuilder:object:root=true
type LabEnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []LabEnvironment `json:"items"`
}
