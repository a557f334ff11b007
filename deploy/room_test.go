package deploy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const gpus = "nvidia.com/gpu"

func gpuNode(name string, count int64, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kind": "gpu"}}}
	n.Status.Allocatable = corev1.ResourceList{
		gpus: *resource.NewQuantity(count, resource.DecimalSI), corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourcePods: resource.MustParse("10"),
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, c := range change {
		c(n)
	}
	return n
}

func gpuPod(node string, count int64, change ...func(*corev1.Pod)) *corev1.Pod {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	if count > 0 {
		list[gpus] = *resource.NewQuantity(count, resource.DecimalSI)
	}
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: list}}}}}
	for _, c := range change {
		c(p)
	}
	return p
}

func TestMeasure(t *testing.T) {
	tainted := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: gpus, Value: "present", Effect: corev1.TaintEffectNoSchedule}}
	}
	tolerant := func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: gpus, Operator: corev1.TolerationOpExists}}
	}
	other := func(n *corev1.Node) { n.Labels = nil }
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	dead := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	selecting := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"kind": "gpu"} }
	ended := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	leaving := func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }
	limited := func(p *corev1.Pod) {
		r := &p.Spec.Containers[0].Resources
		r.Requests, r.Limits = nil, r.Requests
	}
	claims := func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }
	for name, test := range map[string]struct {
		nodes []*corev1.Node
		pods  []*corev1.Pod
		pod   *corev1.Pod
		free  int
		known bool
	}{
		"two free":              {[]*corev1.Node{gpuNode("a", 4)}, []*corev1.Pod{gpuPod("a", 2)}, gpuPod("", 1), 2, true},
		"all taken":             {[]*corev1.Node{gpuNode("a", 2), gpuNode("b", 1)}, []*corev1.Pod{gpuPod("a", 2), gpuPod("b", 1)}, gpuPod("", 1), 0, true},
		"taken, by limits":      {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("a", 1)}, gpuPod("", 1, limited), 0, true},
		"free, by limits":       {[]*corev1.Node{gpuNode("a", 2)}, []*corev1.Pod{gpuPod("a", 1)}, gpuPod("", 1, limited), 1, true},
		"free, but scattered":   {[]*corev1.Node{gpuNode("a", 2), gpuNode("b", 2)}, []*corev1.Pod{gpuPod("a", 1), gpuPod("b", 1)}, gpuPod("", 2), 0, true},
		"one ended":             {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("a", 1, ended)}, gpuPod("", 1), 1, true},
		"one is leaving":        {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("a", 1, leaving)}, gpuPod("", 1), 0, true},
		"one waits for it":      {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("", 1)}, gpuPod("", 1), 0, true},
		"one waits in vain":     {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("", 8)}, gpuPod("", 1), 1, true},
		"waits for no device":   {[]*corev1.Node{gpuNode("a", 1)}, []*corev1.Pod{gpuPod("", 0)}, gpuPod("", 1), 1, true},
		"a taint":               {[]*corev1.Node{gpuNode("a", 1, tainted)}, nil, gpuPod("", 1), 0, true},
		"a taint, tolerated":    {[]*corev1.Node{gpuNode("a", 1, tainted)}, nil, gpuPod("", 1, tolerant), 1, true},
		"not selected":          {[]*corev1.Node{gpuNode("a", 1, other)}, nil, gpuPod("", 1, selecting), 0, true},
		"cordoned":              {[]*corev1.Node{gpuNode("a", 1, cordoned)}, nil, gpuPod("", 1), 0, true},
		"not ready":             {[]*corev1.Node{gpuNode("a", 1, dead)}, nil, gpuPod("", 1), 0, true},
		"no CPU beside the GPU": {[]*corev1.Node{gpuNode("a", 9)}, []*corev1.Pod{gpuPod("a", 1), gpuPod("a", 0), gpuPod("a", 0), gpuPod("a", 0), gpuPod("a", 0), gpuPod("a", 0), gpuPod("a", 0), gpuPod("a", 0)}, gpuPod("", 1), 0, true},
		"nodes are not seen":    {nil, nil, gpuPod("", 1), 0, false},
		"claims":                {[]*corev1.Node{gpuNode("a", 1)}, nil, gpuPod("", 1, claims), 1, false},
		"no further":            {[]*corev1.Node{gpuNode("a", 7)}, nil, gpuPod("", 1), 5, true},
	} {
		room := Measure(test.nodes, test.pods, &corev1.PodTemplateSpec{Spec: test.pod.Spec}, 5)
		if room.Pods != test.free || room.Known != test.known {
			t.Errorf("%s: %+v, want %d pods, known %t", name, room, test.free, test.known)
		}
	}
}

func TestWay(t *testing.T) {
	full := []*corev1.Pod{gpuPod("a", 1)}
	one := []*corev1.Node{gpuNode("a", 1)}
	quarter := new(intstr.FromString("25%"))
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		strategy strategy
		pods     []*corev1.Pod
		unplaced bool
		want     Way
	}{
		"full":               {gpuPod("", 1), newStrategy(quarter, quarter, 1), full, false, NoSurge},
		"room":               {gpuPod("", 1), newStrategy(quarter, quarter, 1), nil, false, Surge},
		"room, but in vain":  {gpuPod("", 1), newStrategy(quarter, quarter, 1), nil, true, NoSurge},
		"room for one of 2":  {gpuPod("", 1), newStrategy(quarter, quarter, 8), nil, false, NoSurge},
		"no GPU":             {gpuPod("", 0), newStrategy(quarter, quarter, 1), full, true, Surge},
		"its own way":        {gpuPod("", 1), newStrategy(new(intstr.FromInt32(0)), new(intstr.FromInt32(1)), 4), nil, false, NoSurge},
		"recreates":          {gpuPod("", 1), strategy{}, full, false, Recreate},
		"when it is deleted": {gpuPod("", 1), strategy{onDelete: true}, full, false, Recreate},
	} {
		w := &workload{Environment: Environment{Kind: Deployment}, template: &corev1.PodTemplateSpec{Spec: test.pod.Spec}, strategy: test.strategy}
		if way, why := w.way(one, test.pods, test.unplaced); way != test.want {
			t.Errorf("%s: %s (%s), want %s", name, way, why, test.want)
		}
	}
}

func TestTrouble(t *testing.T) {
	waits := func(reason, message string, restarts int32) *corev1.Pod {
		p := gpuPod("a", 1)
		p.Name = "unet-1"
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
		return p
	}
	nowhere := gpuPod("", 1)
	nowhere.Name = "unet-2"
	nowhere.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are\navailable"}}
	homeless := gpuPod("", 1)
	homeless.Name = "unet-3"
	homeless.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."}}
	for _, test := range []struct {
		pods []*corev1.Pod
		want trouble
	}{
		{[]*corev1.Pod{homeless}, trouble{line: "pod unet-3: 0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims." + claimRemedy, unplaced: true}},
		{nil, trouble{}},
		{[]*corev1.Pod{waits("ContainerCreating", "", 0)}, trouble{}},
		{[]*corev1.Pod{waits("ImagePullBackOff", "Back-off pulling: EOF", 0)}, trouble{line: "pod unet-1, container main: ImagePullBackOff: Back-off pulling: EOF"}},
		{[]*corev1.Pod{waits("ErrImagePull", "NotFound: not found", 0)}, trouble{line: "pod unet-1, container main: ErrImagePull: NotFound: not found", hopeless: true}},
		{[]*corev1.Pod{waits("CrashLoopBackOff", "back-off", 1)}, trouble{line: "pod unet-1, container main: CrashLoopBackOff: back-off"}},
		{[]*corev1.Pod{nowhere, waits("CrashLoopBackOff", "back-off", 3)}, trouble{line: "pod unet-1, container main: CrashLoopBackOff: back-off", hopeless: true, unplaced: true}},
		{[]*corev1.Pod{nowhere}, trouble{line: "pod unet-2: 0/2 nodes are available", unplaced: true}},
	} {
		if got := worst(test.pods); got != test.want {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}
