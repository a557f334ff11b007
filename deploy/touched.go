package deploy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/layers"
)

// Merge is what is asked about: images that a ref would release.
type Merge struct {
	// Repository is its URL.
	Repository string
	// Into is the ref.
	Into layers.Ref
	// Images of the layers that would change: PATH@DIGEST, the path below the
	// registry's prefix; empty for one that is not built yet.
	Images map[layers.Name]string
}

// Touched is an environment that a merge would roll.
type Touched struct {
	Environment Environment `json:"environment"`
	// Owner is the kind of what made the workload, such as LabEnvironment; empty
	// for one that somebody made.
	Owner string `json:"owner,omitempty"`
	// Repository is the name by which its annotations tell the repository; empty
	// if they do not.
	Repository string `json:"repository,omitempty"`
	// Layers that it would get new images of.
	Layers []layers.Name `json:"layers"`
	// GPUs that all its pods together ask for.
	GPUs int64 `json:"gpus"`
	// Verdict on whether the images run on the nodes, by the environment's own
	// policy; empty while there is none of them yet.
	Verdict Answer `json:"verdict,omitempty"`
	// Reason of a verdict, in one line.
	Reason string `json:"reason,omitempty"`
	// Waits is why it would not roll at once; empty if it would.
	Waits string `json:"waits,omitempty"`
	// From is when it would roll then, in its calendar's zone; zero if a person has
	// to do something first.
	From time.Time `json:"from,omitzero"`
	// Idle is what it waits for then, such as "when idle for 15m"; empty if for
	// nothing.
	Idle string `json:"idle,omitempty"`
}

// Kind is what people know the environment as.
func (t Touched) Kind() string { return cmp.Or(t.Owner, string(t.Environment.Kind)) }

// Rolls says for people when it would roll; empty is at once.
func (t Touched) Rolls() string {
	switch {
	case t.Waits != "" && t.From.IsZero():
		return t.Waits
	case t.Verdict == Refuse:
		return "held"
	case t.Waits == "":
		return t.Idle
	}
	at := t.From.Format("Mon 2006-01-02 15:04 MST")
	text := at + ", " + strings.TrimSuffix(t.Waits, "; opens "+at)
	if t.Idle != "" {
		text += ", then " + t.Idle
	}
	return text
}

// gravity orders answers.
var gravity = map[Answer]int{Allow: 1, Warn: 2, Unknown: 3, Refuse: 4}

// judged adds what a gate says of one container's image. The gravest counts.
func (t *Touched) judged(v Verdict) {
	switch {
	case gravity[v.Answer] > gravity[t.Verdict]:
		t.Verdict, t.Reason = v.Answer, oneLine(v.Reason)
	case v.Answer == t.Verdict && v.Reason != "":
		t.Reason = strings.TrimPrefix(t.Reason+"; "+oneLine(v.Reason), "; ")
	}
}

// gravest puts the environments first of which there is most to say.
func gravest(all []Touched) {
	slices.SortFunc(all, func(a, b Touched) int {
		return cmp.Or(gravity[b.Verdict]-gravity[a.Verdict], strings.Compare(a.Environment.String(), b.Environment.String()))
	})
}

// gpuResource begins the resources by which pods ask for NVIDIA's GPUs.
const gpuResource = "nvidia.com/"

// gpus is how many all pods of a workload ask for.
func (w *workload) gpus() (n int64) {
	for name, quantity := range request(podOf(w.template)) {
		if strings.HasPrefix(string(name), gpuResource) {
			n += quantity.Value()
		}
	}
	return n * int64(w.replicas)
}

// candidate is a container of a workload that is about to get an image.
func (w *workload) candidate(container string, layer layers.Name, image string) Candidate {
	return Candidate{
		Environment: w.Environment, Container: container, Layer: layer, Image: image,
		Template: w.template, Annotations: w.annotations, Owner: w.owner,
	}
}

// eligible are the nodes that a workload's pods may run on, by name.
func (w *workload) eligible(nodes []*corev1.Node) []*corev1.Node {
	pod := &corev1.Pod{ObjectMeta: w.template.ObjectMeta, Spec: w.template.Spec}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *corev1.Node) bool { return !mayRun(pod, n) })
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// others are the nodes that are not among some.
func others(all, some []*corev1.Node) []*corev1.Node {
	return slices.DeleteFunc(slices.Clone(all), func(n *corev1.Node) bool { return slices.Contains(some, n) })
}
