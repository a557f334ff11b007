package git

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	testUser     = "reader"
	testPassword = "s3cr3t/p&ss word"
	testToken    = "t0ken-0123456789"
)

// remotes are the ways to one repository.
func remotes(t testing.TB, r *repo) map[string]Remote {
	base, name := filepath.Split(r.dir)
	web := serveHTTP(t, base, testUser, testPassword, testToken)
	addr, key, known := serveSSH(t)
	return map[string]Remote{
		"path":   {URL: r.dir},
		"file":   {URL: "file://" + r.dir},
		"git":    {URL: serveGit(t, base) + "/" + name},
		"basic":  {URL: web + "/" + name, Username: testUser, Password: testPassword},
		"inline": {URL: strings.Replace(web, "://", "://"+testUser+":s3cr3t%2Fp&ss%20word@", 1) + "/" + name},
		"bearer": {URL: web + "/" + name, Token: testToken},
		"ssh":    {URL: "ssh://git@" + addr + r.dir, SSHKey: key, KnownHosts: known},
	}
}

func openMirror(t testing.TB, remote Remote) *Mirror {
	t.Helper()
	m, err := Open(context.Background(), t.TempDir(), remote, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustRefs(t testing.TB, m *Mirror) map[layers.Ref]layers.Commit {
	t.Helper()
	refs, err := m.Refs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

func mustFetch(t testing.TB, m *Mirror, ref layers.Ref, commit layers.Commit) {
	t.Helper()
	if err := m.Fetch(context.Background(), ref, commit); err != nil {
		t.Fatal(err)
	}
}

// wantFile holds that a file of a fetched commit can be read.
func wantFile(t testing.TB, m *Mirror, commit layers.Commit, name, want string) {
	t.Helper()
	tree, err := m.Tree(context.Background(), commit)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.ReadFile(name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s at %s holds %q, want %q", name, commit.Short(), got, want)
	}
}

func wantRefs(t testing.TB, got, want map[layers.Ref]layers.Commit) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("refs are\n%v\nwant\n%v", got, want)
	}
}

// TestMirror goes through a repository's life over each way to it.
func TestMirror(t *testing.T) {
	work := newRepo(t)
	first := work.commit("first", "a/file", "one\n", "Dockerfile", "FROM scratch\n")
	work.git("tag", "-a", "-m", "annotated", "v1")
	work.git("tag", "light")
	work.git("tag", "-a", "-m", "of a tag", "nested", "v1")
	bare := work.bare()
	for name, remote := range remotes(t, bare) {
		t.Run(name, func(t *testing.T) {
			work, bare := *work, *bare
			work.t, bare.t = t, t
			m := openMirror(t, remote)
			want := map[layers.Ref]layers.Commit{
				"refs/heads/main": first, "refs/tags/v1": first, "refs/tags/light": first, "refs/tags/nested": first,
			}
			wantRefs(t, mustRefs(t, m), want)
			if strings.Contains(m.URL(), testUser) || strings.Contains(m.URL(), "s3cr3t") {
				t.Errorf("URL shows credentials: %s", m.URL())
			}
			mustFetch(t, m, "refs/heads/main", first)
			wantFile(t, m, first, "a/file", "one\n")

			second := work.commit("second", "a/file", name+"\n")
			work.git("push", "-q", "origin", "main", "main:topic")
			want["refs/heads/main"], want["refs/heads/topic"] = second, second
			wantRefs(t, mustRefs(t, m), want)
			mustFetch(t, m, "refs/heads/main", second)
			wantFile(t, m, second, "a/file", name+"\n")

			// Force-pushed away, deleted and pruned: still readable.
			work.git("reset", "-q", "--hard", string(first))
			third := work.commit("third", "a/file", "third "+name+"\n")
			work.git("push", "-q", "-f", "origin", "main", ":topic")
			bare.git("gc", "-q", "--prune=now")
			delete(want, "refs/heads/topic")
			want["refs/heads/main"] = third
			wantRefs(t, mustRefs(t, m), want)
			mustFetch(t, m, "refs/heads/main", third)
			wantFile(t, m, third, "a/file", "third "+name+"\n")
			wantFile(t, m, second, "a/file", name+"\n")
			mustFetch(t, m, "refs/heads/topic", second)

			// Another mirror cannot get what is gone.
			err := openMirror(t, remote).Fetch(context.Background(), "refs/heads/topic", second)
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("fetch of a commit that is gone: %v", err)
			}

			// The branch has moved on from a commit that was seen.
			fourth := work.commit("fourth", "a/file", "fourth "+name+"\n")
			fifth := work.commit("fifth", "a/file", "fifth "+name+"\n")
			work.git("push", "-q", "origin", "main")
			mustFetch(t, m, "refs/heads/main", fourth)
			wantFile(t, m, fourth, "a/file", "fourth "+name+"\n")
			mustFetch(t, m, "refs/heads/main", fifth)

			if err := m.Drop(context.Background(), second); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(m.dir, keepRefs, string(second))); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("dropped commit is still kept: %v", err)
			}
			wantNoSecrets(t, m.dir)
			git := &repo{t, m.dir}
			git.git("fsck", "--connectivity-only", string(fifth)+"^{tree}")
			work.git("reset", "-q", "--hard", string(first))
			work.git("push", "-q", "-f", "origin", "main")
		})
	}
}

func wantNoSecrets(t *testing.T, dir string) {
	t.Helper()
	filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		for _, secret := range []string{"s3cr3t", testToken, testUser} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds a secret", name)
			}
		}
		return err
	})
}

// TestFetchAll holds that a mirror's refs become the remote's.
func TestFetchAll(t *testing.T) {
	work := newRepo(t)
	work.commit("first", "a", "1\n")
	work.git("branch", "gone")
	work.git("tag", "-a", "-m", "t", "v1")
	bare := work.bare()
	bare.git("symbolic-ref", "HEAD", "refs/heads/dev")
	second := work.commit("second", "a", "2\n")
	work.git("push", "-q", "origin", "main:dev")
	for name, remote := range remotes(t, bare) {
		t.Run(name, func(t *testing.T) {
			m := openMirror(t, remote)
			for range 2 {
				if err := m.FetchAll(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			r, err := m.Repository()
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Refs()
			if err != nil {
				t.Fatal(err)
			}
			wantRefs(t, got, mustRefs(t, m))
			if head, err := r.Head(); err != nil || head != "refs/heads/dev" {
				t.Errorf("HEAD is %s, %v", head, err)
			}
			for rev, want := range map[string]layers.Commit{"HEAD": second, "HEAD~1": work.rev("v1^{commit}"), "v1": work.rev("v1^{commit}"), "dev": second} {
				if got, err := r.Resolve(rev); err != nil || got != want {
					t.Errorf("resolve %s: %s, %v; want %s", rev, got, err, want)
				}
			}
		})
	}
}

// TestEmptyRemote holds that a repository without a commit has no refs.
func TestEmptyRemote(t *testing.T) {
	empty := &repo{t, filepath.Join(t.TempDir(), "empty.git")}
	empty.command("", "init", "-q", "--bare", "-b", "main", empty.dir)
	for name, remote := range remotes(t, empty) {
		t.Run(name, func(t *testing.T) {
			m := openMirror(t, remote)
			wantRefs(t, mustRefs(t, m), map[layers.Ref]layers.Commit{})
			if err := m.FetchAll(context.Background()); err != nil {
				t.Error(err)
			}
			err := m.Fetch(context.Background(), "refs/heads/main", layers.Commit(strings.Repeat("1", 40)))
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("fetch from an empty repository: %v", err)
			}
		})
	}
}

// TestFetchAtOnce holds that goroutines and several mirrors of one directory
// do not disturb each other.
func TestFetchAtOnce(t *testing.T) {
	work := newRepo(t)
	var commits []layers.Commit
	for _, n := range []string{"1", "2", "3", "4"} {
		commits = append(commits, work.commit(n, "file", n, "dir/"+n, n))
	}
	bare := work.bare()
	for name, remote := range remotes(t, bare) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var all sync.WaitGroup
			for range 2 {
				m, err := Open(context.Background(), dir, remote, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				for _, commit := range commits {
					all.Go(func() {
						if err := m.Fetch(context.Background(), "refs/heads/main", commit); err != nil {
							t.Error(err)
							return
						}
						if _, err := m.Tree(context.Background(), commit); err != nil {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
		})
	}
}
