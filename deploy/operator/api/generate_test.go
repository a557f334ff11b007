package api

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated holds what `make generate` writes to the types.
func TestGenerated(t *testing.T) {
	const crds = "../../../docs/examples/kubernetes/crds"
	dir := t.TempDir()
	command := exec.Command("go", "tool", "controller-gen", "object", "crd", "paths=.", "output:crd:dir="+dir, "output:object:dir="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	written, err := os.ReadDir(dir)
	if err != nil || len(written) < 2 {
		t.Fatalf("there are %d files: %v", len(written), err)
	}
	for _, file := range written {
		want, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		place := crds
		if filepath.Ext(file.Name()) == ".go" {
			place = "."
		}
		got, err := os.ReadFile(filepath.Join(place, file.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: run make generate (%v)", file.Name(), err)
		}
	}
}
