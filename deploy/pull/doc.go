// Package pull has nodes pull an image before the pods come that run it.
//
// Input are a pod template, an image and a node; output is a pod that makes the
// node's kubelet pull the image and runs nothing of it, and what such a pod tells:
// whether the node has the image by now, how long that took, or what is in the way.
//
// It speaks with no cluster and keeps nothing: which nodes pull, and when, is the
// caller's.
package pull
