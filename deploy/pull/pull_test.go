package pull

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the pod anew")

const image = "registry.example/lab/unet@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// order is for a template that has what the pod must not have.
func order() Order {
	return Order{
		Namespace: "vision", For: metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "unet", UID: "1"},
		Template: &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "unet"}},
			Spec: corev1.PodSpec{
				ServiceAccountName: "unet", ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}}, RuntimeClassName: new("nvidia"),
				Tolerations: []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists}}, HostNetwork: true, PriorityClassName: "class",
				Volumes:    []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}},
				Containers: []corev1.Container{{Name: "main", Image: "old", Args: []string{"serve"}, SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}},
			},
		},
		Image: image, Node: "gpu-1", Limit: 90*time.Second + 1,
	}
}

func TestPod(t *testing.T) {
	got, err := yaml.Marshal(order().Pod())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/pod.yaml"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(got) != string(want) {
		t.Errorf("got\n%s\n%v", got, err)
	}
	other := order()
	other.Image = strings.ReplaceAll(image, "a", "b")
	if o := order(); o.command() == other.command() {
		t.Error("an image can have the command that is to be missing from it")
	}
	if owner, ok := For(order().Pod()); !ok || owner != order().For {
		t.Errorf("it is for %+v, %t", owner, ok)
	}
	stranger := order().Pod()
	stranger.Labels = nil
	if _, ok := For(stranger); ok {
		t.Error("any pod is one of ours")
	}
}

func TestName(t *testing.T) {
	seen := map[string]bool{}
	for _, workload := range []string{"a", "a.b", strings.Repeat("long.", 20) + "x"} {
		for _, uid := range []types.UID{"1", "2"} {
			for _, node := range []string{"gpu-1", "gpu-2"} {
				o := order()
				o.For.Name, o.For.UID, o.Node = workload, uid, node
				name := o.Name()
				if len(validation.IsDNS1123Label(name)) > 0 || seen[name] {
					t.Errorf("%q, seen %t", name, seen[name])
				}
				seen[name] = true
			}
		}
	}
}

func TestStates(t *testing.T) {
	waits := func(reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
	}
	ended := func(reason, id string) corev1.ContainerStatus {
		return corev1.ContainerStatus{ImageID: id, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason}}}
	}
	for name, test := range map[string]struct {
		phase  corev1.PodPhase
		reason string
		status []corev1.ContainerStatus
		state  State
		why    string
	}{
		"just made":                   {corev1.PodPending, "", nil, Going, ""},
		"pulls":                       {corev1.PodPending, "", []corev1.ContainerStatus{waits("ContainerCreating", "")}, Going, ""},
		"containerd cannot start it":  {corev1.PodFailed, "", []corev1.ContainerStatus{ended("StartError", image)}, Done, ""},
		"cri-dockerd cannot start it": {corev1.PodFailed, "", []corev1.ContainerStatus{ended("ContainerCannotRun", "")}, Done, ""},
		"cri-o cannot make it":        {corev1.PodPending, "", []corev1.ContainerStatus{waits("CreateContainerError", "no such file")}, Done, ""},
		"it is not let to be made":    {corev1.PodPending, "", []corev1.ContainerStatus{waits("CreateContainerConfigError", "runAsNonRoot")}, Done, ""},
		"it runs after all":           {corev1.PodRunning, "", []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}, Done, ""},
		"the registry is away":        {corev1.PodPending, "", []corev1.ContainerStatus{waits("ErrImagePull", "connection refused")}, Going, "ErrImagePull: connection refused"},
		"there is no such image":      {corev1.PodPending, "", []corev1.ContainerStatus{waits("ImagePullBackOff", "not found")}, Failed, "ImagePullBackOff: not found"},
		"its time is up":              {corev1.PodFailed, "DeadlineExceeded", []corev1.ContainerStatus{ended(unknownEnd, "")}, Failed, "DeadlineExceeded"},
		"the node takes no more pods": {corev1.PodFailed, "OutOfpods", nil, Failed, "OutOfpods"},
	} {
		pod := &corev1.Pod{Status: corev1.PodStatus{Phase: test.phase, Reason: test.reason, ContainerStatuses: test.status}}
		if state, why := Of(pod); state != test.state || why != test.why {
			t.Errorf("%s: %s, %q", name, state, why)
		}
	}
}

func TestTook(t *testing.T) {
	begun := metav1.Now()
	pod := &corev1.Pod{Status: corev1.PodStatus{StartTime: &begun}}
	if took := Took(pod); took != 0 {
		t.Errorf("it took %v before its end", took)
	}
	ended := corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(begun.Add(90 * time.Second))}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &ended}}}
	if took := Took(pod); took != 90*time.Second {
		t.Errorf("it took %v", took)
	}
	ended.FinishedAt = metav1.Time{} // it was not told
	if took := Took(pod); took != 0 {
		t.Errorf("it took %v", took)
	}
}

func TestProgress(t *testing.T) {
	two := []time.Duration{time.Minute, 3 * time.Minute}
	for _, test := range []struct {
		Progress
		want string
	}{
		{Progress{Nodes: 12, Parallel: 4}, "on 0 of 12 nodes"},
		{Progress{Nodes: 12, Parallel: 4, Holding: 12, Took: two}, "on 12 of 12 nodes"},
		{Progress{Nodes: 12, Parallel: 4, Holding: 2, Took: two}, "on 2 of 12 nodes, about 6 min"},
		{Progress{Nodes: 12, Parallel: 1, Holding: 9, Failed: 1, Took: two}, "on 9 of 12 nodes, about 4 min"},
		{Progress{Nodes: 12, Parallel: 4, Holding: 9, Took: two, Longest: 90 * time.Second}, "on 9 of 12 nodes, about 30 s"},
		{Progress{Nodes: 12, Parallel: 4, Holding: 9, Took: two, Longest: time.Hour}, "on 9 of 12 nodes, about 10 s"},
		{Progress{Nodes: 200, Parallel: 1, Holding: 2, Took: two}, "on 2 of 200 nodes, about 7 h"},
	} {
		if got := test.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
