package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lab-layers/lab-layers/"

// house has what each package may import of ours, beside what lies below it.
const house = `layers:
layers/scaffold: layers
pipeline: layers
pipeline/buildkit: layers pipeline
pipeline/buildkit/daemon: pipeline/child
pipeline/registry: layers pipeline
pipeline/registry/embedded: pipeline
pipeline/cuda:
pipeline/inventory: layers pipeline pipeline/cuda
deploy: layers
deploy/calendar:
deploy/pull:
deploy/clustertest: pipeline/child
deploy/clustertest/serve: deploy/clustertest
deploy/gates: deploy deploy/calendar deploy/gpu pipeline pipeline/cuda
deploy/operator: deploy deploy/gates layers
deploy/operator/api:
deploy/metrics: deploy
deploy/gpu: pipeline pipeline/cuda
deploy/gpu/nvml: deploy/gpu pipeline/cuda
deploy/gpu/probe: deploy/gpu
agent: layers pipeline
agent/forge: agent layers
agent/git: layers
agent/notify: agent layers
agent/schedule:
agent/hook: agent/web
agent/traces: agent layers pipeline
agent/cleanup: agent layers pipeline
agent/web: agent layers pipeline
agent/postgres: agent agent/cleanup deploy layers pipeline
agent/postgres/cluster: pipeline/child
agent/postgres/postgrestest: agent agent/postgres agent/postgres/cluster layers pipeline
`

// TestHouse holds the arrows between the packages: what each may import of
// ours. Only this command joins implementations.
func TestHouse(t *testing.T) {
	allowed := map[string][]string{}
	for line := range strings.Lines(house) {
		name, imports, _ := strings.Cut(line, ":")
		allowed[name] = strings.Fields(imports)
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		if strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, imported := range words[1:] {
			ours, ok := strings.CutPrefix(imported, module)
			if !ok {
				continue
			}
			if !slices.Contains(allowed[name], ours) && !strings.HasPrefix(ours, name+"/") {
				t.Errorf("%s imports %s", name, ours)
			}
		}
	}
}
