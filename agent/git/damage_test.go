package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// TestLeftovers holds that what a killed process left does not matter: locks,
// half a pack, an index without its pack.
func TestLeftovers(t *testing.T) {
	work := newRepo(t)
	commit := work.commit("c", "file", "content\n")
	for name, remote := range remotes(t, work.bare()) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m, err := Open(context.Background(), dir, remote, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			sum := strings.Repeat("a", 40)
			for _, name := range []string{
				"lab-layers.lock", "HEAD.lock", "packed-refs.lock", "tmp/123", "objects/pack/tmp_pack_x",
				"objects/pack/pack-" + sum + ".idx", "objects/pack/pack-" + strings.Repeat("b", 40) + ".pack",
			} {
				if err := os.WriteFile(filepath.Join(m.dir, name), []byte("PACK half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if m, err = Open(context.Background(), dir, remote, Limits{}); err != nil {
				t.Fatal(err)
			}
			mustFetch(t, m, "refs/heads/main", commit)
			wantFile(t, m, commit, "file", "content\n")
			files, err := os.ReadDir(filepath.Join(m.dir, "objects", "pack"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if strings.Contains(file.Name(), "tmp") || strings.Contains(file.Name(), sum) {
					t.Errorf("%s is still there", file.Name())
				}
			}
		})
	}
}

// TestDamagedMirror holds that a mirror heals, whatever became of its files.
func TestDamagedMirror(t *testing.T) {
	work := newRepo(t)
	for i := range 150 { // enough for a pack
		work.write(fmt.Sprintf("d%d/f", i), fmt.Sprint(i))
	}
	commit := work.commit("c", "file", "content\n")
	bare := work.bare()
	all := remotes(t, bare)
	damages := map[string]func(t *testing.T, name string){
		"cut":     func(t *testing.T, name string) { os.Truncate(name, 100) },
		"emptied": func(t *testing.T, name string) { os.Truncate(name, 0) },
		"removed": func(t *testing.T, name string) { os.Remove(name) },
		"garbled": func(t *testing.T, name string) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i := 12; i < len(data); i += 7 {
				data[i] ^= 0x55
			}
			os.Remove(name)
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, name := range []string{"path", "git"} {
		for damage, do := range damages {
			for _, which := range []string{".pack", ".idx"} {
				t.Run(name+" "+damage+which, func(t *testing.T) {
					dir, remote := t.TempDir(), all[name]
					if name == "path" { // damage must not reach the remote through links
						remote.URL = filepath.Join(t.TempDir(), "copy.git")
						if err := os.CopyFS(remote.URL, os.DirFS(bare.dir)); err != nil {
							t.Fatal(err)
						}
					}
					m, err := Open(context.Background(), dir, remote, Limits{})
					if err != nil {
						t.Fatal(err)
					}
					mustFetch(t, m, "refs/heads/main", commit)
					packs, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*"+which))
					if len(packs) != 1 {
						t.Fatalf("packs: %v", packs)
					}
					unlink(t, packs[0])
					do(t, packs[0])
					if m, err = Open(context.Background(), dir, remote, Limits{}); err != nil {
						t.Fatal(err)
					}
					mustFetch(t, m, "refs/heads/main", commit)
					wantAllFiles(t, m, commit, 151)
				})
			}
		}
	}
}

// unlink makes a file one of its own instead of a hard link.
func unlink(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		if err = os.Remove(name); err == nil {
			err = os.WriteFile(name, data, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantAllFiles(t *testing.T, m *Mirror, commit layers.Commit, want int) {
	t.Helper()
	tree, err := m.Tree(context.Background(), commit)
	if err != nil {
		t.Fatal(err)
	}
	if got := countFiles(t, m.repo.objects, tree.Root); got != want {
		t.Errorf("%d files, want %d", got, want)
	}
}

// TestDamagedBlob holds that damage which only reading finds makes the next
// fetch start anew.
func TestDamagedBlob(t *testing.T) {
	work := newRepo(t)
	commit := work.commit("c", "file", strings.Repeat("content\n", 1000))
	m := openMirror(t, remotes(t, work.bare())["git"])
	mustFetch(t, m, "refs/heads/main", commit)
	name := loosePath(filepath.Join(m.dir, "objects"), work.id("HEAD:file"))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := m.Tree(context.Background(), commit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.ReadFile("file", 1<<20); err == nil {
		t.Fatal("half a blob was read")
	}
	mustFetch(t, m, "refs/heads/main", commit)
	wantFile(t, m, commit, "file", strings.Repeat("content\n", 1000))
}

// TestTakeOver holds that a mirror of a local repository reads on when that
// has pruned and packed, and even when it is gone.
func TestTakeOver(t *testing.T) {
	work := newRepo(t)
	first := work.commit("first", "a/file", "one\n", "b", "b\n")
	bare := work.bare()
	work.git("checkout", "-q", "-b", "side")
	second := work.commit("second", "a/file", "two\n")
	work.git("push", "-q", "origin", "side")
	m := openMirror(t, Remote{URL: bare.dir})
	mustFetch(t, m, "refs/heads/main", first)
	mustFetch(t, m, "refs/heads/side", second)
	work.git("push", "-q", "origin", ":side")
	bare.git("gc", "-q", "--prune=now")
	wantFile(t, m, second, "a/file", "two\n")
	if err := os.RemoveAll(bare.dir); err != nil {
		t.Fatal(err)
	}
	wantFile(t, m, first, "a/file", "one\n")
	wantFile(t, m, second, "b", "b\n")
	mustFetch(t, m, "refs/heads/side", second)
	if _, err := m.Refs(context.Background()); err == nil {
		t.Error("a remote that is gone has refs")
	}
	err := m.Fetch(context.Background(), "refs/heads/x", layers.Commit(strings.Repeat("1", 40)))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing remote looks like a missing commit: %v", err)
	}
}

// TestCrowdedMirror holds that a mirror in which packs have piled up is opened
// empty, and is filled again, and that one with few is left as it is.
func TestCrowdedMirror(t *testing.T) {
	work := newRepo(t)
	for n := range explodeObjects {
		work.write(fmt.Sprint("file", n), fmt.Sprint(n))
	}
	commit := work.commit("c", "file", "content\n")
	bare := work.bare().dir
	testCrowded(t, Remote{URL: bare}, commit)
	testCrowded(t, Remote{URL: serveGit(t, filepath.Dir(bare)) + "/" + filepath.Base(bare)}, commit)
}

func testCrowded(t *testing.T, remote Remote, commit layers.Commit) {
	t.Helper()
	dir := t.TempDir()
	open := func() *Mirror {
		t.Helper()
		m, err := Open(context.Background(), dir, remote, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	mustFetch(t, m, "refs/heads/main", commit)
	packs := func() []string {
		found, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*.pack"))
		return found
	}
	pile := func(upTo int) {
		t.Helper()
		first, _ := strings.CutSuffix(packs()[0], ".pack")
		for n := len(packs()); n < upTo; n++ {
			for _, extension := range []string{".pack", ".idx"} {
				name := filepath.Join(filepath.Dir(first), fmt.Sprintf("pack-%040d%s", n, extension))
				if err := os.Link(first+extension, name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range []struct{ had, left int }{{maxPacks, maxPacks}, {maxPacks + 1, 0}} {
		pile(c.had)
		m = open()
		if left := len(packs()); left != c.left {
			t.Errorf("of %d packs %d are left", c.had, left)
		}
		mustFetch(t, m, "refs/heads/main", commit)
		wantFile(t, m, commit, "file", "content\n")
	}
}

// TestCrowdedWhileRead holds that packs do not pile up in a mirror that is fetched
// into for long, that what was begun to be read before it was filled anew can be
// read on, and that nothing of it is kept for ever.
func TestCrowdedWhileRead(t *testing.T) {
	remote := newRepo(t)
	remote.git("config", "fastimport.unpackLimit", "1") // a pack for each commit
	m := openMirror(t, Remote{URL: remote.dir})
	fetched := map[string]layers.Tree{} // by the content of their file
	push := func() {
		text := fmt.Sprint("edition ", len(fetched))
		remote.command("commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 1\nm\n"+
			fmt.Sprintf("M 100644 inline file\ndata %d\n%s\n", len(text), text), "-C", remote.dir, "fast-import", "--quiet", "--force")
		commit := mustRefs(t, m)["refs/heads/main"]
		mustFetch(t, m, "refs/heads/main", commit)
		tree, err := m.Tree(t.Context(), commit)
		if err != nil {
			t.Fatal(err)
		}
		fetched[text] = tree
	}
	packs := func() int {
		found, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*.pack"))
		return len(found)
	}
	for range maxPacks + 1 {
		push()
	}
	if n := packs(); n != maxPacks+1 {
		t.Fatalf("%d commits came in %d packs", maxPacks+1, n)
	}
	push()
	if n := packs(); n != 1 {
		t.Errorf("there are %d packs after one commit more", n)
	}
	for want, tree := range fetched {
		if got, err := tree.ReadFile("file", 1<<20); string(got) != want || err != nil {
			t.Errorf("%s is read as %q: %v", want, got, err)
		}
	}
	old := time.Now().Add(-keptBefore - time.Hour)
	if err := os.Chtimes(filepath.Dir(m.before()), old, old); err != nil {
		t.Fatal(err)
	}
	push()
	if _, err := os.Stat(m.before()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was there before is kept for ever: %v", err)
	}
}
