package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LabImage mirrors what the agent's records say of one layer at one ref. The
// agent alone writes it; an edit is undone.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=lab-layers
// +kubebuilder:selectablefield:JSONPath=`.spec.repository`
// +kubebuilder:selectablefield:JSONPath=`.spec.layer`
// +kubebuilder:selectablefield:JSONPath=`.spec.ref`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Layer",type=string,JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="Ref",type=string,JSONPath=`.spec.ref`
// +kubebuilder:printcolumn:name="Building",type=boolean,JSONPath=`.status.building`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.short.digest`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.short.commit`
// +kubebuilder:printcolumn:name="Snapshot",type=date,JSONPath=`.status.snapshotTime`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.short.reason`
// +kubebuilder:printcolumn:name="Full Digest",type=string,JSONPath=`.status.digest`,priority=1
// +kubebuilder:printcolumn:name="Full Commit",type=string,JSONPath=`.status.commit`,priority=1
// +kubebuilder:printcolumn:name="Run",type=integer,JSONPath=`.status.run`,priority=1
// +kubebuilder:printcolumn:name="Key",type=string,JSONPath=`.status.key`,priority=1
// +kubebuilder:printcolumn:name="Repository",type=string,JSONPath=`.spec.repository`,priority=1
// +kubebuilder:printcolumn:name="Full Reason",type=string,JSONPath=`.status.reason`,priority=1
type LabImage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   LabImageSpec   `json:"spec"`
	Status LabImageStatus `json:"status,omitempty"`
}

// LabImageSpec says which layer it is.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a LabImage is of one layer at one ref for ever"
type LabImageSpec struct {
	// Repository is the URL of the Git repository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Repository string `json:"repository"`
	// Layer is its name in lab-layers.yaml.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Layer string `json:"layer"`
	// Ref is the branch or Git tag, in full: refs/heads/main.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Ref string `json:"ref"`
}

// LabImageStatus is what the records say.
type LabImageStatus struct {
	// Building is true while a run of the ref is at work or waits to be.
	Building bool `json:"building"`
	// Image is the newest, as nodes pull it; empty if there is none.
	// +optional
	Image string `json:"image,omitempty"`
	// Digest of the image.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Key is the content identity of the layer.
	// +optional
	Key string `json:"key,omitempty"`
	// Reason is why the layer was last built, or why it has no image of the
	// commit, in one line.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Commit that the ref's last run was on.
	// +optional
	Commit string `json:"commit,omitempty"`
	// Short is what tables show of the digest, the commit and the reason.
	// +optional
	Short Short `json:"short,omitzero"`
	// Run is the id of the ref's last run.
	// +optional
	Run int64 `json:"run,omitempty"`
	// SnapshotTime is when the commit's images were recorded.
	// +optional
	SnapshotTime *metav1.Time `json:"snapshotTime,omitempty"`
	// Conditions are Ready (the image is that of the ref's newest commit),
	// Progressing (a run is at work) and Degraded (its build failed).
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LabImageList is a list of them.
//
// +kubebuilder:object:root=true
type LabImageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []LabImage `json:"items"`
}
