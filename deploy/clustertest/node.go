package clustertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// fakeNode is the annotation of the nodes that KWOK plays.
const fakeNode = "kwok.x-k8s.io/node=fake"

// GPUResource is what a pod asks for to get a GPU.
const GPUResource corev1.ResourceName = "nvidia.com/gpu"

// Node is a fake node.
type Node struct {
	Name   string
	CPU    string // 32 if empty
	Memory string // 256Gi if empty
	GPU    GPU
	Labels map[string]string // more than those of the GPU; an empty value takes one away
	Taints []corev1.Taint
}

// GPU is what GPU Feature Discovery says of a node. None has a Count of 0.
type GPU struct {
	Product   string // "NVIDIA-A100-SXM4-80GB"
	Count     int
	MemoryMiB int
	Compute   string // capability, "8.0"
	Driver    string // "580.65.06"
	CUDA      string // the newest that the driver has, "13.0"
}

// GPUTaint keeps pods without a toleration off a GPU node.
func GPUTaint() corev1.Taint {
	return corev1.Taint{Key: string(GPUResource), Value: "present", Effect: corev1.TaintEffectNoSchedule}
}

// AddNode adds a node, waits until pods can be placed on it and removes it when
// the test ends.
func (c *Cluster) AddNode(t testing.TB, n Node) {
	t.Helper()
	if err := c.CreateNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.CoreV1().Nodes().Delete(context.Background(), n.Name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("remove node %s: %v", n.Name, err)
		}
	})
	Await(t, "node "+n.Name, func(ctx context.Context) error { return c.nodeReady(ctx, n.Name) })
}

// CreateNode adds a node for as long as the cluster lives.
func (c *Cluster) CreateNode(ctx context.Context, n Node) error {
	capacity := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1000")}
	for name, q := range map[corev1.ResourceName]string{
		corev1.ResourceCPU:    cmp.Or(n.CPU, "32"),
		corev1.ResourceMemory: cmp.Or(n.Memory, "256Gi"),
	} {
		quantity, err := resource.ParseQuantity(q)
		if err != nil {
			return fmt.Errorf("node %s: %s %q: %w", n.Name, name, q, err)
		}
		capacity[name] = quantity
	}
	labels := map[string]string{corev1.LabelHostname: n.Name, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"}
	if n.GPU.Count > 0 {
		capacity[GPUResource] = *resource.NewQuantity(int64(n.GPU.Count), resource.DecimalSI)
		maps.Copy(labels, n.GPU.labels())
	}
	maps.Copy(labels, n.Labels)
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	key, value, _ := strings.Cut(fakeNode, "=")
	_, err := c.Client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels, Annotations: map[string]string{key: value}},
		Spec:       corev1.NodeSpec{Taints: n.Taints},
		Status:     corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
	}, metav1.CreateOptions{})
	return err
}

// KillNode makes a node fall silent: it is not ready and gets no pods. With
// false it comes back.
func (c *Cluster) KillNode(t testing.TB, name string, dead bool) {
	t.Helper()
	fate := "null"
	if dead {
		fate = `"dead"`
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, FateAnnotation, fate)
	if _, err := c.Client.CoreV1().Nodes().Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	Await(t, "node "+name, func(ctx context.Context) error {
		err := c.nodeReady(ctx, name)
		if dead && err == nil {
			return errors.New("it is still ready")
		}
		if dead && errors.Is(err, errNotReady) {
			return nil
		}
		return err
	})
}

// errNotReady is a node on which no pod can be placed.
var errNotReady = errors.New("it is not ready")

// nodeReady fails until pods can be placed on a node.
func (c *Cluster) nodeReady(ctx context.Context, name string) error {
	node, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, taint := range node.Spec.Taints {
		if strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
			return errNotReady
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errNotReady
}

// labels are those of GPU Feature Discovery.
func (g GPU) labels() map[string]string {
	labels := map[string]string{
		"nvidia.com/gpu.present":          "true",
		"nvidia.com/gpu.product":          g.Product,
		"nvidia.com/gpu.count":            strconv.Itoa(g.Count),
		"nvidia.com/gpu.replicas":         "1",
		"nvidia.com/gpu.memory":           strconv.Itoa(g.MemoryMiB),
		"nvidia.com/gpu.mode":             "compute",
		"nvidia.com/gpu.sharing-strategy": "none",
		"nvidia.com/mig.capable":          "false",
	}
	for prefix, version := range map[string]string{
		"nvidia.com/gpu.compute.":          g.Compute,
		"nvidia.com/cuda.driver-version.":  g.Driver,
		"nvidia.com/cuda.runtime-version.": g.CUDA,
	} {
		for i, part := range strings.Split(version, ".") {
			labels[prefix+[...]string{"major", "minor", "revision"}[i]] = part
		}
		if prefix != "nvidia.com/gpu.compute." {
			labels[prefix+"full"] = version
		}
	}
	return labels
}
