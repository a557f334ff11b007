package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is that of all resources here.
const Group = "lab-layers.dev"

// Version returns the version of the resources.
func Version() schema.GroupVersion { return schema.GroupVersion{Group: Group, Version: "v1alpha1"} }

// AddToScheme makes the resources known to clients.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(Version(), &LabImage{}, &LabImageList{}, &LabEnvironment{}, &LabEnvironmentList{}, &LabTask{}, &LabTaskList{})
	metav1.AddToGroupVersion(s, Version())
	return nil
}

// Conditions of the resources.
const (
	// Ready is true while what was asked for is there.
	Ready = "Ready"
	// Progressing is true while something is under way to it.
	Progressing = "Progressing"
	// Degraded is true while something is wrong that does not pass by itself.
	Degraded = "Degraded"
)
