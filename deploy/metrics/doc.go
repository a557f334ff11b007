// Package metrics tells Prometheus of a cluster and of the rollouts in it.
//
// Input are an engine, whether its cluster answers, and what the records say of all
// environments. Output are collectors, which whoever answers scrapes registers. It
// steers nothing.
package metrics
