package git

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// repo is a repository made by git for a test.
type repo struct {
	t   testing.TB
	dir string
}

// gitEnv keeps the user's configuration out of the tests.
func gitEnv() []string {
	return append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=A U Thor", "GIT_AUTHOR_EMAIL=author@example.com", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=C O Mitter", "GIT_COMMITTER_EMAIL=committer@example.com", "GIT_COMMITTER_DATE=1700000000 +0000")
}

// newRepo makes a work tree on branch main.
func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t, filepath.Join(t.TempDir(), "repo")}
	r.command("", "init", "-q", "-b", "main", r.dir)
	return r
}

// bare makes a bare clone beside the repository.
func (r *repo) bare() *repo {
	r.t.Helper()
	b := &repo{r.t, filepath.Join(r.t.TempDir(), "bare.git")}
	r.command("", "clone", "-q", "--bare", "--no-local", r.dir, b.dir)
	r.git("remote", "add", "origin", b.dir)
	return b
}

func (r *repo) command(stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env, cmd.Stdin = gitEnv(), strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// git runs git in the repository.
func (r *repo) git(args ...string) string {
	r.t.Helper()
	return r.command("", append([]string{"-C", r.dir}, args...)...)
}

// write puts files into the work tree: pairs of a path and a content.
func (r *repo) write(pairs ...string) {
	r.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(r.dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o666); err != nil {
			r.t.Fatal(err)
		}
	}
}

// commit writes files and commits all that changed.
func (r *repo) commit(subject string, pairs ...string) layers.Commit {
	r.t.Helper()
	r.write(pairs...)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", subject)
	return r.rev("HEAD")
}

func (r *repo) rev(name string) layers.Commit {
	r.t.Helper()
	return layers.Commit(r.git("rev-parse", "--verify", name))
}

func (r *repo) id(name string) layers.ObjectID {
	r.t.Helper()
	id, err := layers.ParseObjectID(r.git("rev-parse", "--verify", name))
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// wide makes a bare repository of 100,000 files in 1,101 trees, packed.
func wide(t testing.TB) *repo {
	t.Helper()
	r := &repo{t, filepath.Join(t.TempDir(), "wide.git")}
	r.command("", "init", "-q", "--bare", "-b", "main", r.dir)
	var in strings.Builder
	in.WriteString("commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 1\nm\n")
	for i := range 100_000 {
		data := fmt.Sprintf("file %d\n", i)
		fmt.Fprintf(&in, "M 100644 inline c%02d/d%d/f%03d.py\ndata %d\n%s\n", i/1000, i/100%10, i%100, len(data), data)
	}
	for i := range 50 {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter a <a@b> %d +0000\ndata 1\nm\n", 1700000001+i)
		fmt.Fprintf(&in, "M 100644 inline c%02d/d%d/f%03d.py\ndata 8\nv %05d\n\n", i, i%10, i, i)
	}
	r.command(in.String(), "-C", r.dir, "fast-import", "--quiet")
	r.git("gc", "-q")
	return r
}

// settle makes all files of a directory an hour old.
func settle(t testing.TB, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}
