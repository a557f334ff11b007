package gates

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gpu"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// Images are the recorded ones.
type Images interface {
	// ImageOf returns what is recorded of an image; ok is false if nothing is.
	ImageOf(ctx context.Context, d digest.Digest) (image pipeline.Image, ok bool, err error)
}

// Driver compares what an image needs with the GPUs of the nodes that it may
// come to.
type Driver struct {
	Images Images
	Now    func() time.Time

	mu    sync.Mutex
	needs map[digest.Digest]gpu.Need
}

var _ deploy.Gate = (*Driver)(nil)

// retryIn is when a gate is asked again that could not find out.
const retryIn = 15 * time.Second

// Name makes it a [deploy.Gate].
func (*Driver) Name() string { return "driver" }

// Check answers by the environment's policy: what is not known is refused, too,
// by "strict", what would be refused is only warned of by "warn", and all is
// allowed by "ignore".
func (g *Driver) Check(ctx context.Context, c deploy.Candidate, nodes []*corev1.Node) deploy.Verdict {
	policy, err := policyOf(c.Annotations)
	if err != nil {
		return refuse("%v", err)
	}
	if policy == "ignore" {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	wish, err := leastOf(c.Annotations)
	if err != nil {
		return refuse("%v", err)
	}
	var devices []corev1.ResourceName
	if wish.GPUs, devices = devicesOf(c); wish.GPUs == 0 {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	fit := having(nodes, devices)
	if short := gpu.Short(wish, having(c.Barred, devices)); short != "" && len(fit) == 0 {
		v := deploy.Verdict{Answer: deploy.Refuse, Reason: fmt.Sprintf("%s: %s", c.Layer, short)}
		if policy == "warn" {
			v.Answer = deploy.Warn
		}
		return v
	}
	need, err := g.need(ctx, c.Image)
	if err != nil {
		v := refuse("cannot read what the image needs: %v", err)
		v.Until = g.Now().Add(retryIn)
		return v
	}
	verdict := gpu.Judge(need, wish, fit)
	if c.Unseen != "" {
		verdict.Level, verdict.Reason = gpu.Unknown, fmt.Sprintf("the driver could not be checked: %s; grant that", c.Unseen)
		if policy != "strict" {
			verdict.Reason += fmt.Sprintf(", or annotate %s: strict to hold rollouts without it", PolicyAnnotation)
		}
	}
	reason := fmt.Sprintf("%s: %s", c.Layer, verdict.Reason)
	switch {
	case verdict.Level == gpu.Refuse && policy != "warn":
		return deploy.Verdict{Answer: deploy.Refuse, Reason: reason}
	case verdict.Level == gpu.Refuse, verdict.Level == gpu.Warn:
		return deploy.Verdict{Answer: deploy.Warn, Reason: reason}
	case verdict.Level == gpu.Unknown && policy == "strict":
		return deploy.Verdict{Answer: deploy.Refuse, Reason: reason}
	case verdict.Level == gpu.Unknown:
		return deploy.Verdict{Answer: deploy.Unknown, Reason: reason}
	}
	return deploy.Verdict{Answer: deploy.Allow, Reason: reason}
}

func refuse(format string, args ...any) deploy.Verdict {
	return deploy.Verdict{Answer: deploy.Refuse, Reason: fmt.Sprintf(format, args...)}
}

// maxNeeds bounds what is remembered. An image's content never changes, nor do
// its needs.
const maxNeeds = 10_000

// need is what an image needs; nothing shows it of one that is not recorded.
func (g *Driver) need(ctx context.Context, ref string) (gpu.Need, error) {
	_, text, _ := strings.Cut(ref, "@")
	d := digest.Digest(text)
	g.mu.Lock()
	need, ok := g.needs[d]
	g.mu.Unlock()
	if ok {
		return need, nil
	}
	image, ok, err := g.Images.ImageOf(ctx, d)
	if err != nil {
		return need, err
	}
	if !ok {
		return gpu.Need{GPU: pipeline.GPUUnknown, GPUEvidence: "no such image is recorded"}, nil
	}
	need = gpu.NeedOf(image)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.needs == nil || len(g.needs) >= maxNeeds {
		g.needs = map[digest.Digest]gpu.Need{}
	}
	g.needs[d] = need
	return need, nil
}

// policyOf is what follows where an image does not fit; empty is refuse.
func policyOf(annotations map[string]string) (string, error) {
	switch policy := annotations[PolicyAnnotation]; policy {
	case "", "refuse", "warn", "strict", "ignore":
		return policy, nil
	default:
		return "", fmt.Errorf("%s is %.40q: take strict, refuse, warn or ignore", PolicyAnnotation, policy)
	}
}

// leastOf is what each GPU must have.
func leastOf(annotations map[string]string) (w gpu.Wish, err error) {
	if text, ok := annotations[MemoryAnnotation]; ok {
		quantity, err := resource.ParseQuantity(text)
		if err != nil || quantity.Value() < 1<<20 { // a number without a unit is of bytes, which nobody means
			return w, fmt.Errorf("%s is %.40q: write it such as 40Gi", MemoryAnnotation, text)
		}
		w.MemoryMiB = quantity.Value() >> 20
	}
	if text, ok := annotations[CapabilityAnnotation]; ok {
		if w.Capability, err = cuda.ParseCapability(text); err != nil {
			return w, fmt.Errorf("%s: %w", CapabilityAnnotation, err)
		}
	}
	return w, nil
}

// devicesOf are how many GPUs a container asks for, and the resources by which it
// does.
func devicesOf(c deploy.Candidate) (gpus int64, devices []corev1.ResourceName) {
	for _, container := range slices.Concat(c.Template.Spec.InitContainers, c.Template.Spec.Containers) {
		if container.Name != c.Container {
			continue
		}
		for name, quantity := range container.Resources.Limits {
			if isGPU(name) && !quantity.IsZero() {
				gpus += quantity.Value()
				devices = append(devices, name)
			}
		}
	}
	return gpus, devices
}

// having are the nodes that have the devices at all, taken or free.
func having(nodes []*corev1.Node, devices []corev1.ResourceName) (all []gpu.Node) {
	for _, n := range nodes {
		lacks := func(name corev1.ResourceName) bool {
			quantity, ok := n.Status.Allocatable[name]
			return !ok || quantity.IsZero()
		}
		if !slices.ContainsFunc(devices, lacks) {
			all = append(all, gpu.ReadNode(n.Name, n.Labels, n.Annotations))
		}
	}
	return all
}

// Short says how the GPUs of all nodes fall short of the memory and the compute
// capability that somebody asks for; empty if they do not, or nothing is known. nil
// and "" ask for any.
func Short(memory *resource.Quantity, capability string, nodes []*corev1.Node) string {
	var w gpu.Wish
	if memory != nil {
		w.MemoryMiB = memory.Value() >> 20
	}
	w.Capability, _ = cuda.ParseCapability(capability) // one that cannot be read is refused elsewhere
	var known []gpu.Node
	for _, n := range nodes {
		if read := gpu.ReadNode(n.Name, n.Labels, n.Annotations); read.MemoryMiB > 0 || read.Capability.Known() {
			known = append(known, read)
		}
	}
	return gpu.Short(w, known)
}
