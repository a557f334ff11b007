package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

// TestResolve holds that HEAD is the branch that is checked out, in a checkout
// and in a bare remote, and no branch where it is detached.
func TestResolve(t *testing.T) {
	l := newLab(t)
	l.git("checkout", "-q", "-b", "feature/x")
	second := l.commit("on a branch")
	l.git("push", "-q", "origin", "feature/x")
	l.command(l.remote, "git", "symbolic-ref", "HEAD", "refs/heads/feature/x")
	resolve := func(url, rev string) (layers.Ref, layers.Commit) {
		t.Helper()
		mirror, err := git.Open(t.Context(), t.TempDir(), git.Remote{URL: url}, git.Limits{})
		l.check(err)
		ref, commit, err := new(foreground).resolve(t.Context(), mirror, rev)
		l.check(err)
		return ref, commit
	}
	for _, url := range []string{l.dir, l.remote} {
		for rev, want := range map[string]layers.Ref{"HEAD": "refs/heads/feature/x", "@": "refs/heads/feature/x", "feature/x": "refs/heads/feature/x", string(second): ""} {
			if ref, commit := resolve(url, rev); ref != want || commit != second {
				t.Errorf("%s of %s is %s at %s", rev, url, ref, commit)
			}
		}
	}
	l.git("checkout", "-q", "--detach")
	if ref, commit := resolve(l.dir, "HEAD"); ref != "" || commit != second {
		t.Errorf("a detached HEAD is %s at %s", ref, commit)
	}
}

// TestGivenConfig builds a repository that has no configuration yet with a file
// beside it.
func TestGivenConfig(t *testing.T) {
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "given.yaml")
	l.check(os.WriteFile(file, []byte("version: 1\nlayers: [{name: given, kind: base, context: images/base}]\n"), 0o600))
	l.git("rm", "-q", layers.ConfigFile)
	config, err := givenConfig(file)
	l.check(err)
	l.agent.Carrier.Config = config
	if got := l.built(l.pushed()); got != "given" {
		t.Errorf("built %q", got)
	}
	l.check(os.WriteFile(file, []byte("version: 1\ncolour: red\n"), 0o600))
	if _, err := givenConfig(file); exitCode(err) != exitInput || !strings.Contains(err.Error(), file+":2:") {
		t.Errorf("a fault: %v", err)
	}
}
