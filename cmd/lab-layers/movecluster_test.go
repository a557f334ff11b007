package main

import (
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
)

// TestMoveCluster has the records of one cluster refuse another one, and then become
// those of that one.
func TestMoveCluster(t *testing.T) {
	c := controlPlane.Get(t)
	l := newLab(t)
	m := newManaged(l)
	store, err := postgres.Open(t.Context(), m.database, postgres.Options{})
	l.check(err)
	defer store.Close()
	l.check(store.ServeCluster(t.Context(), "first"))
	l.check(store.Observe(t.Context(), deploy.Standing{
		Environment: deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: "unet"}, UID: "1", Track: "main", State: deploy.Healthy,
	}))
	args := []string{"--kubeconfig", c.Kubeconfig, "--database-url", m.database}
	_, err = l.run(append([]string{"operator", "--repo", l.remote, "--deploy-registry", "registry.example/lab", "--operator-namespace", "default"}, args...)...)
	if exitCode(err) != exitInput || !strings.Contains(err.Error(), "the rollouts of another cluster") || !strings.Contains(err.Error(), "lab-layers move-cluster") {
		t.Errorf("the operator begins: %v", err)
	}
	uid, err := deploy.ClusterUID(t.Context(), c.Client)
	l.check(err)
	for _, want := range []string{"from now on (kube-system " + uid + "), and no more those of kube-system first\n", "already (kube-system " + uid + ")\n"} {
		if out, err := l.run(append([]string{"move-cluster"}, args...)...); err != nil || !strings.HasSuffix(out, want) {
			t.Errorf("it says %q, %v; want %q", out, err, want)
		}
	}
	l.check(store.ServeCluster(t.Context(), uid))
	if _, err := l.run("move-cluster", "--kubeconfig", "/none", "--database-url", m.database); exitCode(err) != exitInput {
		t.Errorf("without a cluster: %v", err)
	}
}
