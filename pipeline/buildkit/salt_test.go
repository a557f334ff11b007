package buildkit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

// TestSalt holds that a RUN runs anew for each salt and is found in the cache
// under the same one, that one which fails still does, and that the image
// configuration tells nothing of it.
func TestSalt(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	dir := t.TempDir()
	write := func(run string) {
		text := "FROM " + parent.repository + "@" + parent.digest.String() + "\nRUN " + run + "\n"
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x"}} {
			if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v: %s", args, err, out)
			}
		}
	}
	outside := func(context.Context, string, string) (layers.OutsideImage, bool, error) {
		return layers.OutsideImage{Digest: parent.digest, Config: parent.config}, true, nil
	}
	bind := func(salt string) *layers.Solvable {
		t.Helper()
		repo, err := git.OpenLocal(dir)
		if err != nil {
			t.Fatal(err)
		}
		commit, err := repo.Resolve("HEAD")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := repo.Tree(commit)
		if err != nil {
			t.Fatal(err)
		}
		cfg := &layers.Config{Platform: "linux/amd64", Layers: []layers.Layer{{Name: "a", Kind: layers.Base, Context: ".", Dockerfile: "Dockerfile"}}}
		plan, err := layers.NewPlanner(outside, layers.Settings{Salt: func() string { return salt }}).Plan(t.Context(), tree, cfg)
		if err != nil || plan.Layers[0].Fault != "" {
			t.Fatalf("%v %s", err, plan.Layers[0].Fault)
		}
		s, err := plan.Layers[0].Recipe.Bind(t.Context(), "", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write("cat /proc/sys/kernel/random/uuid >/id; env -u TRACEPARENT env >/env; cat /etc/hosts >/hosts")
	var ids, traces []string
	for _, salt := range []string{"", "2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z", "2026-11-29T03:00:00Z", ""} {
		s := bind(salt)
		img := mustBuild(t, b, order(t, s))
		var files []string
		for _, name := range []string{"/id", "/env", "/hosts"} {
			text, ok := img.file(t, name)
			if !ok {
				t.Fatalf("no %s", name)
			}
			files = append(files, text)
		}
		ids, traces = append(ids, files[0]), append(traces, string(s.Image)+files[1]+files[2])
	}
	if ids[0] != ids[4] || ids[1] != ids[2] {
		t.Errorf("the same salt does not find what it made: %q", ids)
	}
	if ids[0] == ids[1] || ids[1] == ids[3] || ids[0] == ids[3] {
		t.Errorf("another salt finds what is old: %q", ids)
	}
	for _, trace := range traces[1:] {
		if trace != traces[0] {
			t.Errorf("the salt shows: %s, and not %s", trace, traces[0])
		}
	}
	write("exit 1")
	if _, err := b.Build(t.Context(), order(t, bind("2026-11-22T03:00:00Z")), nil); err == nil || !strings.Contains(err.Error(), "exit code: 1") {
		t.Errorf("a RUN that fails: %v", err)
	}
}
