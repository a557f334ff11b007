// Package gates are what a rollout must pass before it begins: the calendar, the
// driver, a smoke test, and idle GPUs.
//
// Input is an environment that is about to get an image, as package deploy asks
// of it; output is a verdict with its reason in one line. What each environment
// asks for stands in annotations of its workload. A gate changes nothing of a
// workload.
package gates
