package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

func mustOpen(t testing.TB, dir string) *Repository {
	t.Helper()
	r, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refsByGit is what git says of branches and tags.
func refsByGit(t testing.TB, r *repo) map[layers.Ref]layers.Commit {
	t.Helper()
	refs := map[layers.Ref]layers.Commit{}
	for _, line := range strings.Split(r.git("for-each-ref", "--format=%(refname) %(objectname) %(*objectname) %(objecttype) %(*objecttype) %(symref) .", "refs/heads", "refs/tags"), "\n") {
		fields := strings.Split(line, " ")
		switch {
		case len(fields) < 7 || fields[5] != "":
		case fields[3] == "commit":
			refs[layers.Ref(fields[0])] = layers.Commit(fields[1])
		case fields[4] == "commit":
			refs[layers.Ref(fields[0])] = layers.Commit(fields[2])
		}
	}
	return refs
}

// TestLocalRefs holds that refs are git's, loose or packed, while others
// change them.
func TestLocalRefs(t *testing.T) {
	work := newRepo(t)
	work.commit("one", "f", "1")
	r := mustOpen(t, work.dir)
	check := func(step string) {
		t.Helper()
		for range 2 {
			got, err := r.Refs()
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			wantRefs(t, got, refsByGit(t, work))
		}
	}
	check("one branch")
	for i, step := range [][]string{
		{"branch", "a/b/c"}, {"tag", "-a", "-m", "m", "v1"}, {"tag", "light"}, {"tag", "tree", "HEAD^{tree}"},
		{"tag", "-a", "-m", "m", "blob", "HEAD:f"}, {"symbolic-ref", "refs/heads/alias", "refs/heads/main"},
		{"commit", "-q", "--allow-empty", "-m", "two"}, {"tag", "-f", "-a", "-m", "moved", "v1"},
		{"pack-refs", "--all"}, {"commit", "-q", "--allow-empty", "-m", "three"}, {"branch", "-D", "a/b/c"},
		{"branch", "a"}, {"tag", "-d", "light"}, {"gc", "-q"}, {"checkout", "-q", "--detach"},
		{"commit", "-q", "--allow-empty", "-m", "four"}, {"update-ref", "refs/heads/main", "HEAD"}, {"branch", "-D", "a"},
	} {
		work.git(step...)
		check(fmt.Sprint(i, " ", step))
	}
	if err := os.WriteFile(filepath.Join(work.dir, ".git/refs/heads/broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Refs(); err == nil {
		t.Error("a broken ref looks like a deleted one")
	}
}

// TestSettledRefs holds that directories which have not been touched for a
// while are believed, and read again once they are touched.
func TestSettledRefs(t *testing.T) {
	work := newRepo(t)
	work.commit("one", "f", "1")
	work.git("pack-refs", "--all")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"refs/heads", "refs/tags", "packed-refs"} {
		if err := os.Chtimes(filepath.Join(work.dir, ".git", name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	r := mustOpen(t, work.dir)
	for i := range 4 {
		got, err := r.Refs()
		if err != nil {
			t.Fatal(err)
		}
		wantRefs(t, got, refsByGit(t, work))
		if settled := r.refs.packed.stamp != (stamp{}); !settled {
			t.Error("packed refs that are an hour old are not believed")
		}
		if settled := r.refs.dirs["refs/heads"].stamp != (stamp{}); settled != (i == 0) {
			t.Errorf("look %d: refs/heads is believed: %v", i, settled)
		}
		work.git("commit", "-q", "--allow-empty", "-m", "next")
		work.git("branch", fmt.Sprint("b", time.Now().UnixNano()))
	}
}

// TestResolve holds that revisions mean what git says.
func TestResolve(t *testing.T) {
	work := newRepo(t)
	for i := range 6 {
		work.commit(fmt.Sprint("c", i), "f", fmt.Sprint(i))
	}
	work.git("tag", "-a", "-m", "m", "v1.2", "HEAD~2")
	work.git("tag", "dev", "HEAD~3") // a tag goes before a branch
	work.git("branch", "dev", "HEAD~1")
	work.git("branch", "feature/x", "HEAD~4")
	work.git("checkout", "-q", "-b", "side", "HEAD~2")
	work.commit("side", "g", "g")
	work.git("checkout", "-q", "main")
	work.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	work.bare()
	work.git("fetch", "-q", "origin")
	work.git("remote", "set-head", "origin", "main")
	r := mustOpen(t, work.dir)
	check := func() {
		t.Helper()
		for _, rev := range []string{
			"HEAD", "@", "HEAD~3", "HEAD^", "HEAD^2", "HEAD^2~1", "HEAD~1^1~1", "HEAD^0", "main", "v1.2", "v1.2~1", "v1.2^{commit}",
			"v1.2^{}", "dev", "heads/dev", "feature/x", "origin/main", "origin", "refs/heads/main", "tags/v1.2",
			string(work.rev("HEAD")), string(work.rev("HEAD~2"))[:7], string(work.rev("side"))[:13], string(work.rev("refs/tags/v1.2")),
		} {
			want := work.rev(rev + "^{commit}")
			if got, err := r.Resolve(rev); err != nil || got != want {
				t.Errorf("resolve %s: %s, %v; git says %s", rev, got, err, want)
			}
		}
	}
	check()
	work.git("gc", "-q")
	check()
	for rev, want := range map[string]string{
		"nope":                        `revision "nope" not found; the repository has branches dev, feature/x, main, side`,
		"HEAD~100":                    "has no parent 1",
		"HEAD^3":                      "has no parent 3",
		"HEAD^{x}":                    "is not understood",
		"":                            "not found",
		"../config":                   "not found",
		"HEAD~9999999999999999999999": "no number",
		strings.Repeat("0", 40):       "missing",
		string(work.git("rev-parse", "HEAD^{tree}")): "not a commit",
	} {
		if got, err := r.Resolve(rev); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("resolve %q: %s, %v; want an error with %q", rev, got, err, want)
		}
	}
	empty := newRepo(t)
	if _, err := mustOpen(t, empty.dir).Resolve("HEAD"); err == nil || !strings.Contains(err.Error(), "main has no commit yet") {
		t.Errorf("HEAD of an empty repository: %v", err)
	}
}

// TestHistory holds that histories are git's.
func TestHistory(t *testing.T) {
	work := newRepo(t)
	for i := range 5 {
		work.commit(fmt.Sprint("subject ", i), "f", fmt.Sprint(i))
	}
	work.git("checkout", "-q", "-b", "side", "HEAD~2")
	work.commit("side", "g", "g")
	work.git("checkout", "-q", "main")
	work.git("merge", "-q", "--no-ff", "-m", "merge\n\nwith a body", "side")
	r := mustOpen(t, work.dir)
	main, side, root := work.rev("main"), work.rev("side"), work.rev("main~5")
	list, err := r.FirstParents("", main, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range list {
		got = append(got, fmt.Sprint(info.Commit, " ", info.Tree, " ", info.Author, " ", info.Time.Unix(), " ", info.Subject, " ", len(info.Parents)))
	}
	var want []string
	for _, line := range strings.Split(work.git("log", "--reverse", "--first-parent", "--format=%H %T %an <%ae> %ct %s|%P"), "\n") {
		line, parents, _ := strings.Cut(line, "|")
		want = append(want, fmt.Sprint(line, " ", len(strings.Fields(parents))))
	}
	if !slices.Equal(got, want) {
		t.Errorf("history is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if list, err := r.FirstParents(work.rev("main~3"), main, 0); err != nil || len(list) != 3 {
		t.Errorf("a range has %d commits, %v", len(list), err)
	}
	if list, err := r.FirstParents("", main, 2); err != nil || len(list) != 2 || list[1].Commit != main {
		t.Errorf("the last two are %d commits, %v", len(list), err)
	}
	if _, err := r.FirstParents(side, main, 0); err == nil {
		t.Error("a range from a commit that is not on the way")
	}
	for _, c := range []struct {
		a, b layers.Commit
		want bool
	}{{root, main, true}, {side, main, true}, {main, side, false}, {main, main, true}, {work.rev("main~1"), side, false}} {
		if got, err := r.IsAncestor(context.Background(), c.a, c.b); err != nil || got != c.want {
			t.Errorf("is %s an ancestor of %s: %v, %v", c.a, c.b, got, err)
		}
	}
	if _, err := r.Commit(layers.Commit(strings.Repeat("1", 40))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing commit: %v", err)
	}
}

// TestLayouts holds that every form of a repository opens.
func TestLayouts(t *testing.T) {
	work := newRepo(t)
	commit := work.commit("c", "f", "content")
	bare := work.bare()
	linked := &repo{t, filepath.Join(t.TempDir(), "linked")}
	work.git("worktree", "add", "-q", "-b", "elsewhere", linked.dir)
	further := linked.commit("further", "f", "further")
	shared := &repo{t, filepath.Join(t.TempDir(), "shared")}
	shared.command("", "clone", "-q", "--shared", "--bare", bare.dir, shared.dir)
	again := &repo{t, filepath.Join(t.TempDir(), "again")}
	again.command("", "clone", "-q", "--reference", shared.dir, "--no-local", bare.dir, again.dir)
	for name, c := range map[string]struct {
		dir  string
		want layers.Commit
	}{
		"work tree": {work.dir, commit}, "git dir": {work.dir + "/.git", commit}, "bare": {bare.dir, commit},
		"linked": {linked.dir, further}, "alternates": {shared.dir, commit}, "borrowed": {again.dir, commit},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustOpen(t, c.dir)
			if got, err := r.Resolve("HEAD"); err != nil || got != c.want {
				t.Errorf("HEAD is %s, %v", got, err)
			}
			tree, err := r.Tree(commit)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tree.ReadFile("f", 100); err != nil || string(got) != "content" {
				t.Errorf("f holds %q, %v", got, err)
			}
		})
	}
	newer := &repo{t, filepath.Join(t.TempDir(), "newer")}
	newer.command("", "init", "-q", "--object-format=sha256", newer.dir)
	for name, c := range map[string]struct{ dir, want string }{
		"sha256": {newer.dir, "only sha1"}, "no repository": {t.TempDir(), "not a git repository"},
		"missing": {t.TempDir() + "/x", "no such file"}, "a file": {work.dir + "/f", "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := OpenLocal(c.dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("open: %v", err)
			}
		})
	}
}
