// Package api has the custom resources of the API group lab-layers.dev: what an
// administrator writes into a cluster, and reads there. It decides nothing.
//
// The CRDs in docs/examples/kubernetes/crds and the copying are generated from
// these types by `make generate`.
//
// +kubebuilder:object:generate=true
// +groupName=lab-layers.dev
// +versionName=v1alpha1
package api
