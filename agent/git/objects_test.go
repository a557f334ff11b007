package git

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// wantTree holds that Objects sees below a tree what git ls-tree says, sizes
// and contents included.
func wantTree(t *testing.T, work *repo, r *Repository, rev string) {
	t.Helper()
	var got strings.Builder
	var walk func(dir string, id layers.ObjectID)
	walk = func(dir string, id layers.ObjectID) {
		entries, err := r.Objects().Tree(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			switch {
			case e.IsDir():
				walk(dir+e.Name+"/", e.ID)
			case e.Mode == layers.ModeSubmodule:
				fmt.Fprintf(&got, "%06o commit %s       -\t%s\x00", e.Mode, e.ID, dir+e.Name)
			default:
				size, err := r.Objects().Size(e.ID)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "%06o blob %s %7d\t%s\x00", e.Mode, e.ID, size, dir+e.Name)
				blob, err := r.Objects().Open(e.ID)
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(blob)
				blob.Close()
				if err != nil || int64(len(data)) != size || gitBlobID(data) != e.ID {
					t.Errorf("%s%s: %d bytes, %v", dir, e.Name, len(data), err)
				}
			}
		}
	}
	walk("", work.id(rev+"^{tree}"))
	if want := work.git("ls-tree", "-r", "-l", "-z", rev); got.String() != want {
		t.Errorf("tree is\n%q\nwant\n%q", got.String(), want)
	}
}

// TestObjects holds that trees and blobs are git's, however it stores them,
// and while it stores them anew.
func TestObjects(t *testing.T) {
	work := newRepo(t)
	text := strings.Repeat("some line of text\n", 2000)
	work.write("a/b/c/deep", "x", "empty", "", "foo", "1", "foo-bar", "2", "foo.d/x", "3", "exe", "#!", "text", text, "\xff\xfe/\x80", "no text")
	if err := os.Chmod(filepath.Join(work.dir, "exe"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", filepath.Join(work.dir, "link")); err != nil {
		t.Fatal(err)
	}
	first := work.commit("one")
	work.git("update-index", "--add", "--cacheinfo", "160000,"+string(first)+",sub")
	work.git("commit", "-q", "-m", "submodule")
	r := mustOpen(t, work.dir)
	wantTree(t, work, r, "HEAD")
	for i := range 30 {
		work.commit("more", "text", text+fmt.Sprint(i), "foo", fmt.Sprint(i))
	}
	wantTree(t, work, r, "HEAD~3")
	work.git("gc", "-q", "--prune=now") // deltas
	for i := 0; i < 31; i += 6 {
		wantTree(t, work, r, fmt.Sprint("HEAD~", i))
	}
	wantTree(t, work, mustOpen(t, work.dir), "HEAD~20")
	work.commit("loose", "foo", "again")
	wantTree(t, work, r, "HEAD")
	work.git("repack", "-q", "-d") // a second pack
	work.commit("loose", "foo", "and again")
	work.git("repack", "-q", "-a", "-d", "-f", "--depth=10") // both go
	for i := 0; i < 33; i += 8 {
		wantTree(t, work, mustOpen(t, work.dir), fmt.Sprint("HEAD~", i))
	}
	wantTree(t, work, r, "HEAD")
	missing := layers.ObjectID(strings.Repeat("\x01", 20))
	if _, err := r.Objects().Tree(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing tree: %v", err)
	}
	if _, err := r.Objects().Size(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size of a missing blob: %v", err)
	}
	if _, err := r.Objects().Open(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing blob: %v", err)
	}
	for name, err := range map[string]error{
		"tree of a blob": second(r.Objects().Tree(work.id("HEAD:foo"))), "size of a tree": second(r.Objects().Size(work.id("HEAD^{tree}"))),
		"blob of a tree": second(r.Objects().Open(work.id("HEAD^{tree}"))), "short id": second(r.Objects().Tree("abc")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestGCWhileReading holds that readers do not notice git packing and pruning.
func TestGCWhileReading(t *testing.T) {
	work := newRepo(t)
	for i := range 5 {
		for j := range 20 {
			work.write(fmt.Sprintf("d%d/f%d", i, j), fmt.Sprint(i, j))
		}
		work.commit("c", "f", fmt.Sprint(i))
	}
	root := work.id("HEAD^{tree}")
	db, err := openDatabase(filepath.Join(work.dir, ".git", "objects"))
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var read func(id layers.ObjectID)
				objects := newObjects(db)
				read = func(id layers.ObjectID) {
					entries, err := objects.Tree(id)
					if err != nil {
						t.Error(err)
					}
					for _, e := range entries {
						if e.IsDir() {
							read(e.ID)
						} else if blob, err := objects.Open(e.ID); err != nil {
							t.Error(err)
						} else {
							blob.Close()
						}
					}
				}
				read(root)
			}
		})
	}
	for i := range 4 {
		work.git("repack", "-q", "-a", "-d", "-f")
		work.git("prune-packed")
		work.commit("more", "f", fmt.Sprint("more", i))
	}
	close(stop)
	all.Wait()
}

// TestLargeTree holds that 100,000 entries in one tree are nothing special.
func TestLargeTree(t *testing.T) {
	work := newRepo(t)
	blob := work.command("x", "-C", work.dir, "hash-object", "-w", "--stdin")
	var in strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&in, "100644 blob %s\tf%06d\n", blob, i)
	}
	id, err := layers.ParseObjectID(work.command(in.String(), "-C", work.dir, "mktree", "--missing"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := mustOpen(t, work.dir).Objects().Tree(id)
	if err != nil || len(entries) != 100_000 || entries[99_999].Name != "f099999" {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// TestLargeBlob holds that a large blob is read in little memory, loose and
// packed.
func TestLargeBlob(t *testing.T) {
	work := newRepo(t)
	const size = 16 << 20
	name := filepath.Join(work.dir, "large")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	work.git("-c", "core.bigFileThreshold=1k", "add", "large")
	work.git("commit", "-q", "-m", "large")
	id := work.id("HEAD:large")
	for _, step := range []string{"as added", "packed"} {
		r := mustOpen(t, work.dir)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got, err := r.Objects().Size(id); err != nil || got != size {
			t.Errorf("%s: size %d, %v", step, got, err)
		}
		blob, err := r.Objects().Open(id)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, blob)
		if err != nil || n != size {
			t.Errorf("%s: %d bytes, %v", step, n, err)
		}
		blob.Close()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%s: reading took %d bytes of memory", step, used)
		}
		work.git("-c", "core.bigFileThreshold=1k", "repack", "-q", "-a", "-d", "-F")
	}
}

// TestCutBlob holds that half a blob is never taken for a whole one.
func TestCutBlob(t *testing.T) {
	work := newRepo(t)
	random := make([]byte, 100_000)
	seed := uint32(1)
	for i := range random {
		seed = seed*1664525 + 1013904223
		random[i] = byte(seed >> 24)
	}
	work.commit("c", "file", string(random))
	id := work.id("HEAD:file")
	name := loosePath(filepath.Join(work.dir, ".git", "objects"), id)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(name)
	for _, cut := range []int{0, 1, 10, 1000, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		blob, err := mustOpen(t, work.dir).Objects().Open(id)
		if err == nil {
			_, err = io.ReadAll(blob)
			blob.Close()
		}
		if err == nil || err == io.EOF || !errors.Is(err, errDamaged) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	blob, err := mustOpen(t, work.dir).Objects().Open(id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(blob)
	if err != nil || !bytes.Equal(data, random) {
		t.Errorf("whole: %d bytes, %v", len(data), err)
	}
	blob.Close()
	if _, err := blob.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}
