package api

//go:generate go tool controller-gen object crd paths=. output:crd:dir=../../../docs/examples/kubernetes/crds
