// Package clustertest starts a real Kubernetes control plane for tests: etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler, and KWOK, which
// plays the kubelet of fake nodes. It needs no root and no network; `make
// cluster` builds the programs. The scheduler, rollouts, admission and RBAC are
// the real ones; only no container runs.
//
//	var cluster clustertest.Shared
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }
//
//	func TestRoll(t *testing.T) {
//		c := cluster.Get(t) // starts it on the first call, in about 3 s; skips t where it was not built
//		ns := c.Namespace(t)
//		c.AddNode(t, clustertest.Node{Name: "a100", GPU: clustertest.GPU{
//			Product: "NVIDIA-A100-SXM4-80GB", Count: 8, MemoryMiB: 81920, Compute: "8.0", Driver: "580.65.06", CUDA: "13.0"}})
//		c.Client.AppsV1().Deployments(ns).Create(…)
//		clustertest.Await(t, "the rollout", func(ctx context.Context) error { … })
//	}
//
// How a pod fares is told by the digest of its image (Fate.Image) or an
// annotation (FateAnnotation). Nodes belong to the whole cluster, so tests that
// add some are not for t.Parallel.
//
// Where containers must run, StartKubelet adds a real node; it needs root.
//
// c.Config and c.Kubeconfig are an administrator's; for another's rights set
// Impersonate in a copy of the former. bin/cluster/cluster kubectl is kubectl.
// For a shell, go run ./deploy/clustertest/serve DIR keeps a cluster.
package clustertest
