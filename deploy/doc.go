// Package deploy rolls the workloads of a Kubernetes cluster to the images of
// releases, and says what became of each.
//
// Input are releases (the newest images of each ref, pinned by digest), pins
// that people set, and the cluster as its API server tells of it. Output are
// workloads whose images were changed, and rollouts, each followed to its real
// end: healthy, or rolled back with the reason in one line. It builds nothing,
// reads no repository, and knows nothing of the agent.
package deploy
