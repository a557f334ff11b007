package clustertest

import "fmt"

// FateAnnotation, on a pod, is one of the fates. On a node, DeadNode.
const FateAnnotation = "lab-layers.test/fate"

// StartsAfter and RunsFor, annotations of a pod, are durations as Go writes
// them: how long it takes to become ready, and how long the pod of a Job runs.
// Without them neither takes any time.
const (
	StartsAfter = "lab-layers.test/starts-after"
	RunsFor     = "lab-layers.test/runs-for"
)

// Fate is how a pod fares on a fake node.
type Fate string

const (
	Runs      Fate = "runs"       // it becomes ready; the pod of a Job completes
	PullFails Fate = "pull-fails" // ImagePullBackOff
	Crashes   Fate = "crashes"    // CrashLoopBackOff; the pod of a Job fails
	Unready   Fate = "unready"    // it runs and never becomes ready
	// Pulls runs, but for a pod that pulls the image before: nothing is said of that.
	Pulls Fate = "pulls"
)

// Image is the nth reference by digest to an image of a repository that fares
// so: the stages read the fate from how the digest begins.
func (f Fate) Image(repository string, n int) string {
	return repository + "@" + f.Digest(n)
}

// Digest is the digest in Image.
func (f Fate) Digest(n int) string {
	mark := map[Fate]string{Runs: "00000000", PullFails: "bad0bad0", Crashes: "deaddead", Unready: "51ee51ee", Pulls: "9a119a11"}[f]
	return fmt.Sprintf("sha256:%s%056x", mark, n)
}
