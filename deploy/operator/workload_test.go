package operator

import (
	"fmt"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

func TestNodesWith(t *testing.T) {
	node := func(product, memory, major, minor string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
			gfd + "product": product, gfd + "memory": memory, gfd + "compute.major": major, gfd + "compute.minor": minor,
		}}}
	}
	nodes := map[string]*corev1.Node{
		"volta": node("V100", "16384", "7", "0"), "a100": node("A100", "81920", "8", "0"), "a6000": node("A6000", "49140", "8", "6"),
		"h100": node("H100", "81559", "9", "0"), "cpu": {},
	}
	for _, c := range []struct {
		gpu  api.Devices
		want string
	}{
		{api.Devices{ComputeCapability: "8.6"}, "[a6000 h100]"},
		{api.Devices{ComputeCapability: "8.0"}, "[a100 a6000 h100]"},
		{api.Devices{ComputeCapability: "8.0", Memory: new(resource.MustParse("79Gi"))}, "[a100 h100]"},
		{api.Devices{Memory: new(resource.MustParse("16Gi"))}, "[a100 a6000 h100 volta]"},
		{api.Devices{Products: []string{"A100", "V100"}}, "[a100 volta]"},
		{api.Devices{Products: []string{"A100", "V100"}, ComputeCapability: "7.5"}, "[a100]"},
		{api.Devices{}, "[a100 a6000 cpu h100 volta]"},
	} {
		var fit []string
		for _, name := range []string{"a100", "a6000", "cpu", "h100", "volta"} {
			terms := nodesWith(&c.gpu)
			if len(terms) == 0 {
				fit = append(fit, name)
				continue
			}
			selector, err := nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: terms})
			if err != nil {
				t.Fatal(err)
			}
			if selector.Match(nodes[name]) {
				fit = append(fit, name)
			}
		}
		if got := fmt.Sprint(fit); got != c.want {
			t.Errorf("%+v: %s, not %s", c.gpu, got, c.want)
		}
	}
}

func TestDeployment(t *testing.T) {
	e := &api.LabEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: "vision", Name: "resnet50", UID: "1"}}
	e.Spec = api.LabEnvironmentSpec{
		Layer: "resnet50", Track: "v*", Repository: "vision",
		GPU: &api.GPU{Devices: api.Devices{Count: 2, Memory: new(resource.MustParse("40Gi"))}, DriverPolicy: "Strict"},
		Rollout: api.Rollout{
			Window: "0 2 * * * for 3h", Drift: "Correct", Canary: new(false), ProgressDeadline: &metav1.Duration{Duration: 5 * time.Minute},
			WhenIdle: &api.WhenIdle{For: metav1.Duration{Duration: 15 * time.Minute}, Latest: "Window", Unknown: "Roll"},
			PrePull:  &api.PrePull{Parallel: 4, Timeout: &metav1.Duration{Duration: time.Minute}, Policy: "Hold"},
			Smoke:    &api.Smoke{Command: []string{"python3", "-c", "import torch"}, Timeout: &metav1.Duration{Duration: time.Minute}},
		},
		Scheduling: api.Scheduling{Placement: api.Placement{PriorityClassName: "class"}, Spread: true},
		Container: api.Container{Program: api.Program{Volumes: []api.Volume{
			{Name: "data", MountPath: "/data", Claim: "imagenet", ReadOnly: true}, {Name: "tmp", MountPath: "/scratch", Scratch: new(resource.MustParse("1Gi"))},
		}}},
	}
	d := deployment(e)
	want := map[string]string{
		"lab-layers.dev/layer.main": "resnet50", "lab-layers.dev/track": "v*", "lab-layers.dev/repository": "vision",
		"lab-layers.dev/window": "0 2 * * * for 3h", "lab-layers.dev/drift": "correct", "lab-layers.dev/canary": "false",
		"lab-layers.dev/progress-deadline": "5m0s", "lab-layers.dev/smoke": `["python3","-c","import torch"]`, "lab-layers.dev/smoke-timeout": "1m0s",
		"lab-layers.dev/pre-pull": "4", "lab-layers.dev/pre-pull-timeout": "1m0s", "lab-layers.dev/pre-pull-policy": "hold",
		"lab-layers.dev/when-idle": "15m0s", "lab-layers.dev/when-idle-latest": "window", "lab-layers.dev/when-idle-unknown": "roll",
		"lab-layers.dev/driver-policy": "strict", "lab-layers.dev/gpu-memory": "40Gi",
	}
	if !maps.Equal(d.Annotations, want) {
		t.Errorf("the annotations are %v", d.Annotations)
	}
	spec := d.Spec.Template.Spec
	main := spec.Containers[0]
	if gpus := main.Resources.Limits[defaultGPU]; gpus.Value() != 2 || main.Image != "" || *spec.AutomountServiceAccountToken || len(spec.TopologySpreadConstraints) != 1 {
		t.Errorf("the pod is %+v", spec)
	}
	if len(e.Spec.Container.Resources.Limits) != 0 {
		t.Error("what was asked for is changed")
	}
	if v := spec.Volumes; len(v) != 2 || v[0].PersistentVolumeClaim.ClaimName != "imagenet" || v[1].EmptyDir.SizeLimit.String() != "1Gi" || !main.VolumeMounts[0].ReadOnly {
		t.Errorf("the volumes are %+v", v)
	}
}
