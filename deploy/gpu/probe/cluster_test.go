package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gpu"
)

var cluster clustertest.Shared

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

const (
	example   = "../../../docs/examples/node-probe.yaml"
	namespace = "lab-layers-gpu"
)

// TestOnItsOwnNode installs the example, and acts as the probe that it runs.
func TestOnItsOwnNode(t *testing.T) {
	k := cluster.Get(t)
	install(t, k)
	for _, name := range []string{"gpu-1", "gpu-2"} {
		k.AddNode(t, clustertest.Node{Name: name, Labels: map[string]string{"lab-layers.dev/gpu-node": "true"}})
	}
	client := asProbe(t, k, "gpu-1")
	nodes := client.CoreV1().Nodes()
	begun := time.Now().Truncate(time.Second)

	board := Node{Name: "gpu-1", Client: nodes}
	told := Told{Report: a6000(gpu.Use{}).Facts(), IdleSince: begun, Seen: begun}
	// The policy is in force some moments after it was made: until then nothing
	// is refused, so what follows is no proof of it.
	clustertest.Await(t, "the policy", func(ctx context.Context) error {
		if err := (Node{Name: "gpu-2", Client: nodes}).Tell(ctx, told); err == nil {
			return errors.New("it may write on another node")
		}
		return nil
	})
	clustertest.Await(t, "the policy's types to be checked", func(ctx context.Context) error {
		policy, err := k.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, "lab-layers-node-probe", metav1.GetOptions{})
		if err == nil && policy.Status.TypeChecking == nil {
			err = errors.New("not yet")
		}
		if err == nil && len(policy.Status.TypeChecking.ExpressionWarnings) > 0 {
			t.Fatalf("%+v", policy.Status.TypeChecking.ExpressionWarnings)
		}
		return err
	})
	if err := board.Tell(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	got := nodeOf(t, k, "gpu-1")
	if got.Labels[gpu.DriverLabel] != "550.54.14" || got.Labels[corev1.LabelHostname] != "gpu-1" {
		t.Errorf("labels: %v", got.Labels)
	}
	facts := gpu.ReadNode("gpu-1", nil, got.Annotations)
	if facts.Driver.String() != "550.54.14" || facts.Capability.String() != "7.5" || facts.MemoryMiB != 15360 || len(facts.Brands) != 2 || facts.Fault != "" {
		t.Errorf("read again: %+v", facts)
	}
	if since, seen, err := board.Idle(t.Context()); err != nil || !since.Equal(begun) || !seen.Equal(begun) {
		t.Errorf("idle since %s, seen %s, %v", since, seen, err)
	}
	if a := gpu.ReadActivity(got.Annotations, time.Now()); a.Unknown != "" || !a.IdleSince.Equal(begun) {
		t.Errorf("its activity is %+v", a)
	}
	busy := Told{Report: told.Report, Busy: a6000(gpu.Use{Processes: 2, Percent: 87}).Busy(), Seen: begun}
	if err := board.Tell(t.Context(), busy); err != nil {
		t.Fatal(err)
	}
	if a := gpu.ReadActivity(nodeOf(t, k, "gpu-1").Annotations, time.Now()); a.Unknown != "" || a.Busy != "87 %, 2 processes" || !a.IdleSince.IsZero() {
		t.Errorf("its activity is %+v", a)
	}
	// What is no longer so goes.
	if err := board.Tell(t.Context(), Told{Report: gpu.Report{Fault: "the NVIDIA driver is not loaded"}, Seen: begun}); err != nil {
		t.Fatal(err)
	}
	got = nodeOf(t, k, "gpu-1")
	if _, there := got.Labels[gpu.DriverLabel]; there || got.Annotations[gpu.IdleAnnotation] != "" {
		t.Errorf("left: %v, %v", got.Labels, got.Annotations)
	}

	for name, patch := range map[string]struct{ node, patch, subresource, says string }{
		"another node":            {"gpu-2", `{"metadata":{"labels":{"lab-layers.dev/gpu.driver":"1"}}}`, "", "the node that it runs on alone"},
		"a label of others":       {"gpu-1", `{"metadata":{"labels":{"pool":"mine"}}}`, "", "labels of lab-layers.dev/gpu alone"},
		"a label taken away":      {"gpu-1", `{"metadata":{"labels":{"kubernetes.io/hostname":null}}}`, "", "labels of lab-layers.dev/gpu alone"},
		"an annotation of others": {"gpu-1", `{"metadata":{"annotations":{"kwok.x-k8s.io/node":"real"}}}`, "", "annotations of lab-layers.dev/gpu alone"},
		"a taint":                 {"gpu-1", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`, "", "nothing else of a node"},
		"out of use":              {"gpu-1", `{"spec":{"unschedulable":true}}`, "", "nothing else of a node"},
		"a finaliser":             {"gpu-1", `{"metadata":{"finalizers":["lab-layers.dev/gpu"]}}`, "", "nothing else of a node"},
		"status":                  {"gpu-1", `{"status":{"capacity":{"pods":"1"}}}`, "status", `cannot patch resource "nodes/status"`},
		"its own":                 {"gpu-1", `{"metadata":{"labels":{"lab-layers.dev/gpu.driver":"1"}}}`, "", ""},
	} {
		_, err := nodes.Patch(t.Context(), patch.node, types.MergePatchType, []byte(patch.patch), metav1.PatchOptions{}, strings.Fields(patch.subresource)...)
		if patch.says == "" && err != nil || patch.says != "" && (err == nil || !strings.Contains(err.Error(), patch.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A probe whose node was removed makes none.
	if err := (Node{Name: "gone", Client: nodes}).Tell(t.Context(), told); !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
		t.Errorf("on a node that is not there: %v", err)
	}
	if err := client.CoreV1().Nodes().Delete(t.Context(), "gpu-1", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("remove a node: %v", err)
	}
}

func nodeOf(t *testing.T, k *clustertest.Cluster, name string) *corev1.Node {
	t.Helper()
	node, err := k.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// asProbe is the client that the DaemonSet's pod on a node has, by the token
// that Kubernetes gives to it.
func asProbe(t *testing.T, k *clustertest.Cluster, node string) kubernetes.Interface {
	t.Helper()
	var pod corev1.Pod
	clustertest.Await(t, "the probe's pod on "+node, func(ctx context.Context) error {
		pods, err := k.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
		if err == nil && len(pods.Items) == 0 {
			err = errors.New("there is none")
		}
		if err == nil {
			pod = pods.Items[0]
		}
		return err
	})
	if args := strings.Join(pod.Spec.Containers[0].Args, " "); args != "--node=$(NODE_NAME) --listen=:9401" {
		t.Errorf("the probe is called with %s", args)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	token, err := k.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(k.Config)
	config.BearerToken, config.QPS = token.Status.Token, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// install applies the example, after what a cluster with GPUs has.
func install(t *testing.T, k *clustertest.Cluster) {
	t.Helper()
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "nvidia"}, Handler: "nvidia"}
	if _, err := k.Client.NodeV1().RuntimeClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(k.Client.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	client, err := dynamic.NewForConfig(k.Config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(o); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		kind := o.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			t.Fatal(err)
		}
		resource := dynamic.ResourceInterface(client.Resource(mapping.Resource))
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
		}
		if _, err := resource.Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "test"}); err != nil {
			t.Fatal(fmt.Errorf("%s %s: %w", kind.Kind, o.GetName(), err))
		}
	}
}
