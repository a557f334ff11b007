package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// TestPlanWithoutCluster shows the plan where the cluster cannot be asked, or is
// not named.
func TestPlanWithoutCluster(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATA_DIR", "")
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	dir := smallRepository(t)
	away := filepath.Join(t.TempDir(), "away.kubeconfig")
	if err := os.WriteFile(away, []byte("{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: away, context: {cluster: c}}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--kubeconfig " + away + " --context away":    {exitOutside, "which environments it would roll: ask the cluster"},
		"--kubeconfig " + away + " --context nowhere": {exitInput, "nowhere"},
		"--kubeconfig /none":                          {exitInput, "--kubeconfig /none"},
		"--kubeconfig /dev/null":                      {exitInput, "--kubeconfig /dev/null: it names no cluster"},
		"--compression lz4":                           {exitInput, `--compression: compression "lz4": want zstd or gzip`},
		"--into exam":                                 {exitInput, "--into is about a cluster: name it with --kubeconfig"},
	} {
		var out bytes.Buffer
		root := newRoot(&out, &out)
		root.SetArgs(strings.Fields("plan -o json --repo " + dir + " " + args))
		err := root.Execute()
		if err == nil || exitCode(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", args, err)
		}
		var plan plannedMerge
		if strings.HasPrefix(args, "--kubeconfig") && (json.Unmarshal(out.Bytes(), &plan) != nil || plan.Builds() != 1 || plan.Environments != nil) {
			t.Errorf("%s prints %s", args, out.String())
		}
	}
	// The variables name records as the flags do, and ask for no cluster by themselves.
	for name, value := range map[string]string{"LAB_LAYERS_DATA_DIR": dir, "LAB_LAYERS_DATABASE_URL": "nonsense"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			root := newRoot(io.Discard, io.Discard)
			root.SetArgs([]string{"plan", "--repo", dir})
			if err := root.Execute(); err != nil {
				t.Error(err)
			}
			root.SetArgs([]string{"plan", "--repo", dir, "--kubeconfig", away, "--context", "away"})
			if err := root.Execute(); err == nil || strings.Contains(err.Error(), "ask the cluster") {
				t.Errorf("no records were looked for: %v", err)
			}
		})
	}
	// The base image was not looked up, so an agent has another key.
	var out bytes.Buffer
	root := newRoot(&out, &out)
	root.SetArgs([]string{"plan", "--repo", dir})
	if err := root.Execute(); err != nil || !strings.Contains(out.String(), "* counts an image from outside") || strings.Count(out.String(), "*  new: ") != 1 {
		t.Errorf("it prints %s: %v", out.String(), err)
	}
}

// smallRepository is one of a single layer and a single commit.
func smallRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lab-layers.yaml": "version: 1\nlayers:\n  - {name: base, kind: base, context: .}\n",
		"Dockerfile":      "FROM debian:12\nCOPY lab-layers.yaml /\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{"init -q -b main", "add .", "-c user.name=t -c user.email=t@t commit -q -m lab"} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args, err, out)
		}
	}
	return dir
}

// TestPlanOfSomeNamespaces has a role that reaches one alone, and names the remedy
// where all are asked for.
func TestPlanOfSomeNamespaces(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATA_DIR", "")
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	c := controlPlane.Get(t)
	ns, dir := c.Namespace(t), smallRepository(t)
	_, err := c.Client.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "planner"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: ns}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = ns
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	plan := func(args ...string) error {
		root := newRoot(io.Discard, io.Discard)
		root.SetArgs(append([]string{"plan", "--repo", dir, "--kubeconfig", file}, args...))
		return root.ExecuteContext(t.Context())
	}
	const lacks = "the role lacks list on deployments.apps in "
	const remedy = lacks + "all namespaces; if it reaches some namespaces only, name them with --namespaces NAMESPACE"
	if err := plan(); err == nil || !strings.HasSuffix(err.Error(), remedy) {
		t.Errorf("of all namespaces: %v", err)
	}
	if err := plan("--namespaces", "default"); err == nil || !strings.HasSuffix(err.Error(), lacks+"namespace default") {
		t.Errorf("of another namespace: %v", err)
	}
	clustertest.Await(t, "the rights", func(context.Context) error { return plan("--namespaces", ns) })
}
