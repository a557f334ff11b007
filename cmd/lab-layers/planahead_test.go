package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// TestPlanAhead holds that a history planned side by side says of each commit
// what planning one after the other says, in their order, also over commits
// with a configuration that is broken.
func TestPlanAhead(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asJSON := func(plan *layers.Plan) string {
		var out bytes.Buffer
		if err := printJSON(&out, plan); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	git("init", "-q", "-b", "main")
	git("config", "user.name", "test")
	git("config", "user.email", "test@lab.example")
	const config = "version: 1\nlayers:\n  - {name: a, kind: base}\n"
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("a/Dockerfile", "FROM scratch\nCOPY x /\n")
	for i := range 3*stretchCommits + 5 {
		text := config
		if i < 2 || i > stretchCommits-4 && i < 2*stretchCommits+3 {
			text = "broken"
		}
		write(layers.ConfigFile, text)
		write("a/x", fmt.Sprint(i/2))
		write("README", fmt.Sprint(i))
		git("add", "-A")
		git("commit", "-q", "-m", fmt.Sprint(i))
	}
	view, err := openView(t.Context(), dir, "", usualExport())
	if err != nil {
		t.Fatal(err)
	}
	history, _, err := view.history("", 0)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := openView(t.Context(), dir, "", usualExport())
	if err != nil {
		t.Fatal(err)
	}
	var old *layers.Plan
	i, plans := 0, 0
	for p, err := range view.planAhead(t.Context(), history, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if p.commit.Commit != history[i].Commit {
			t.Fatalf("commit %d is %s, want %s", i, p.commit.Commit, history[i].Commit)
		}
		i++
		if p.plan == nil {
			continue
		}
		plans++
		want, err := alone.plan(t.Context(), p.commit.Commit)
		if err != nil {
			t.Fatal(err)
		}
		if err := alone.planner.Compare(t.Context(), old, want); err != nil {
			t.Fatal(err)
		}
		if got, want := asJSON(p.plan), asJSON(want); got != want {
			t.Errorf("commit %d:\n%s\nwant\n%s", i, got, want)
		}
		old = want
	}
	if i != len(history) || plans < stretchCommits {
		t.Errorf("%d commits and %d plans of %d", i, plans, len(history))
	}
}
