// Package gpu says whether an image runs on the GPUs of nodes.
//
// Input are an image's recorded metadata and configuration, what its
// environment wishes for, and the labels and annotations of the nodes that it
// may run on; output is a verdict with its reason in one line. Where a fact is
// missing the verdict is unknown, never that all is well.
//
// It speaks with no cluster and no driver, and decides no policy: what follows
// from a verdict is the caller's.
package gpu
