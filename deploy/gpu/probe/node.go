package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// manager owns what is written, and nothing else of the node.
const manager = "lab-layers-node-probe"

// Node is the board that a Node object of the cluster is.
type Node struct {
	Name   string
	Client v1.NodeInterface
}

var _ Board = Node{}

// patience is how long the API server may take.
const patience = 30 * time.Second

// Idle reads what the probe before wrote. What cannot be read is not there.
func (n Node) Idle(ctx context.Context) (since, seen time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node, err := n.Client.Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return since, seen, fmt.Errorf("read node %s: %w", n.Name, err)
	}
	since, _ = time.Parse(time.RFC3339, node.Annotations[gpu.IdleAnnotation])
	seen, _ = time.Parse(time.RFC3339, node.Annotations[gpu.SeenAnnotation])
	return since, seen, nil
}

// Tell applies labels and annotations. Those of before that there are no more
// are removed. The node must be there: the probe has no right to make one.
func (n Node) Tell(ctx context.Context, t Told) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	annotations, err := annotations(t)
	if err != nil {
		return err
	}
	node := applycore.Node(n.Name).WithLabels(labels(t.Report)).WithAnnotations(annotations)
	if _, err := n.Client.Apply(ctx, node, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
		return fmt.Errorf("write on node %s: %w", n.Name, err)
	}
	return nil
}

func annotations(t Told) (map[string]string, error) {
	report, err := json.Marshal(t.Report)
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	a := map[string]string{gpu.ReportAnnotation: string(report), gpu.SeenAnnotation: t.Seen.UTC().Format(time.RFC3339)}
	if !t.IdleSince.IsZero() {
		a[gpu.IdleAnnotation] = t.IdleSince.UTC().Format(time.RFC3339)
	}
	if t.Busy != "" {
		a[gpu.BusyAnnotation] = t.Busy
	}
	return a, nil
}

// labels are what node affinity can use; of GPUs that differ the least.
func labels(r gpu.Report) map[string]string {
	l := map[string]string{}
	set := func(name, value string) {
		if value = labelValue(value); value != "" {
			l[name] = value
		}
	}
	set(gpu.CountLabel, strconv.Itoa(len(r.GPUs)))
	if r.Fault != "" {
		return l
	}
	set(gpu.DriverLabel, r.Driver.String())
	set(gpu.BranchLabel, strconv.Itoa(r.Driver.Branch()))
	set(gpu.CUDALabel, r.CUDA.String())
	least := r.Least()
	set(gpu.ProductLabel, least.Product)
	set(gpu.CapabilityLabel, least.Capability.String())
	set(gpu.MemoryLabel, strconv.FormatInt(least.MemoryMiB, 10))
	return l
}

// labelValue makes text one that a label may have: 63 letters, digits, dots,
// dashes and underscores, with a letter or digit at both ends.
func labelValue(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, text)
	text = strings.Trim(text[:min(len(text), 63)], "-._")
	return text
}
