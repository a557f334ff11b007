package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlanWithoutCluster shows the plan where the cluster cannot be asked, or is
// not named.
func TestPlanWithoutCluster(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATA_DIR", "")
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lab-layers.yaml":    "version: 1\nlayers:\n  - {name: base, kind: base, context: .}\n",
		"Dockerfile":         "FROM debian:12\nCOPY lab-layers.yaml /\n",
		"../away.kubeconfig": "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: away, context: {cluster: c}}]}",
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
	away := filepath.Join(filepath.Dir(dir), "away.kubeconfig")
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
