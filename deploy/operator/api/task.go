package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LabTask runs a program once in a layer's image: the one that was current when
// the task was submitted. The operator makes a Job of it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=lab-layers
// +kubebuilder:selectablefield:JSONPath=`.spec.user`
// +kubebuilder:selectablefield:JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Layer",type=string,JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="GPUs",type=integer,JSONPath=`.spec.gpu.count`
// +kubebuilder:printcolumn:name="Waited",type=string,JSONPath=`.status.durations.scheduling`
// +kubebuilder:printcolumn:name="Init",type=string,JSONPath=`.status.durations.initialisation`
// +kubebuilder:printcolumn:name="Ran",type=string,JSONPath=`.status.durations.run`
// +kubebuilder:printcolumn:name="Reclaim",type=string,JSONPath=`.status.durations.reclaim`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.short.reason`
// +kubebuilder:printcolumn:name="Queue",type=string,JSONPath=`.spec.queue`,priority=1
// +kubebuilder:printcolumn:name="Full Digest",type=string,JSONPath=`.status.digest`,priority=1
// +kubebuilder:printcolumn:name="Full Commit",type=string,JSONPath=`.status.commit`,priority=1
// +kubebuilder:printcolumn:name="Full Reason",type=string,JSONPath=`.status.reason`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="the name is that of a Job, too: small letters, digits and hyphens, 63 at the most"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.matches('^smoke-.*-[0-9a-f]{10}$')",message="names such as smoke-NAME-0123456789 are those of smoke tests: take another one"
type LabTask struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   LabTaskSpec   `json:"spec"`
	Status LabTaskStatus `json:"status,omitempty"`
}

// LabTaskSpec is what is submitted. It stays as it is: to run something else
// submit another task.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a task stays as it was submitted: submit another one"
// +kubebuilder:validation:XValidation:rule="!has(self.track) || !has(self.digest)",message="take one of track and digest"
// +kubebuilder:validation:XValidation:rule="!has(self.container) || !has(self.container.resources) || !has(self.container.resources.limits) || self.container.resources.limits.all(r, !r.startsWith('nvidia.com/') && !r.startsWith('amd.com/'))",message="ask for GPUs by gpu: they are accounted for"
// +kubebuilder:validation:XValidation:rule="!has(self.container) || !has(self.container.env) || self.container.env.all(v, v.name != 'NVIDIA_VISIBLE_DEVICES')",message="NVIDIA_VISIBLE_DEVICES is set by the cluster: ask for GPUs by gpu"
type LabTaskSpec struct {
	// User is who submits it. An admission policy holds it equal to who does: see
	// docs/examples/kubernetes/tasks.yaml.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	User string `json:"user"`
	// Repository is the name that the agent knows it by; needed only where it
	// watches several.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Repository string `json:"repository,omitempty"`
	// Layer whose image runs.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+([._-]+[a-z0-9]+)*$`
	Layer string `json:"layer"`
	// Track is a branch, or a pattern of Git tags such as v*; main without it and
	// without a digest. The task has the image that was the track's newest when the
	// task was submitted.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Track string `json:"track,omitempty"`
	// Digest of an image of the layer, in place of a track.
	// +optional
	// +kubebuilder:validation:MaxLength=135
	// +kubebuilder:validation:Pattern=`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`
	Digest string `json:"digest,omitempty"`
	// Queue is the name of a LocalQueue of Kueue that the task waits in.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Queue string `json:"queue,omitempty"`
	// +optional
	GPU *Devices `json:"gpu,omitempty"`
	// +optional
	Scheduling Placement `json:"scheduling,omitzero"`
	// Container is the program. It must end by itself.
	// +optional
	Container Program `json:"container,omitzero"`
	// Deadline is how long the task may take, such as 12h, from when its quota and
	// its queue let it go; what waits for a node counts, too.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$`
	Deadline string `json:"deadline,omitempty"`
	// Retries are how often a program that fails begins anew.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries int32 `json:"retries,omitempty"`
	// TTL is for how long the task is kept after its end, such as 24h; without it
	// until somebody deletes it. The record stays in any case.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$`
	TTL string `json:"ttl,omitempty"`
}

// LabTaskStatus is where it stands.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.digest) || has(self.digest) && self.digest == oldSelf.digest",message="the image of a task is chosen once"
type LabTaskStatus struct {
	// State is Waiting (for an image), Queued, Starting, Running, Ending,
	// Succeeded or Failed.
	// +optional
	State string `json:"state,omitempty"`
	// Reason is why it stands so, in one line.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Short is what tables show of the digest, the commit and the reason.
	// +optional
	Short Short `json:"short,omitzero"`
	// Image that it has, by digest.
	// +optional
	Image string `json:"image,omitempty"`
	// +optional
	Digest string `json:"digest,omitempty"`
	// Ref, Commit and Run are the release of the image: they lead to its snapshot.
	// +optional
	Ref string `json:"ref,omitempty"`
	// +optional
	Commit string `json:"commit,omitempty"`
	// +optional
	Run int64 `json:"run,omitempty"`
	// Job is the uid of what was made of it.
	// +optional
	Job string `json:"job,omitempty"`
	// Attempts are the pods that it had so far.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// +optional
	Times TaskTimes `json:"times,omitzero"`
	// +optional
	Durations TaskDurations `json:"durations,omitzero"`
	// Conditions are Pinned, Queued, Scheduled, Running, Complete and Failed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TaskTimes are time stamps of the task's objects, as the API server has them.
type TaskTimes struct {
	// Admitted is when its pod was made: when queue and quota had let it go.
	// +optional
	Admitted *metav1.Time `json:"admitted,omitempty"`
	// Scheduled is when the pod was given a node.
	// +optional
	Scheduled *metav1.Time `json:"scheduled,omitempty"`
	// Started is when the program did, at the first attempt.
	// +optional
	Started *metav1.Time `json:"started,omitempty"`
	// Finished is when the program ended, at the last attempt.
	// +optional
	Finished *metav1.Time `json:"finished,omitempty"`
	// Released is when the Job had ended, and its resources were free.
	// +optional
	Released *metav1.Time `json:"released,omitempty"`
}

// TaskDurations are the times between.
type TaskDurations struct {
	// Scheduling is from the submission to a node.
	// +optional
	Scheduling *metav1.Duration `json:"scheduling,omitempty"`
	// Initialisation is from there to the start of the program: pulling the image,
	// mounting volumes.
	// +optional
	Initialisation *metav1.Duration `json:"initialisation,omitempty"`
	// Run is from the start to the end of the program.
	// +optional
	Run *metav1.Duration `json:"run,omitempty"`
	// Reclaim is from the end of the program until its resources were free.
	// +optional
	Reclaim *metav1.Duration `json:"reclaim,omitempty"`
}

// LabTaskList is a list of them.
//
// +kubebuilder:object:root=true
type LabTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []LabTask `json:"items"`
}

// Conditions of tasks.
const (
	// Pinned is true once it is known which image the task has.
	Pinned = "Pinned"
	// Queued is true while the task waits for its queue, its quota or a node.
	Queued = "Queued"
	// Scheduled is true while its pod has a node.
	Scheduled = "Scheduled"
	// Running is true while the program runs.
	Running = "Running"
	// Complete is true once it has ended well.
	Complete = "Complete"
	// Failed is true once it has ended otherwise.
	Failed = "Failed"
)
