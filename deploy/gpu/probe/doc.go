// Package probe tells of one node's GPUs, round after round: to its Node object,
// to Prometheus and to the log.
//
// Input are the driver's reports; output are labels and annotations of the node
// on which it runs, written where something changed, and metrics. It decides
// nothing, and a node without a driver is only something to tell.
package probe
