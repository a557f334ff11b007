package git

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// readAll reads what there is to read of a repository.
func readAll(dir string) error {
	r, err := OpenLocal(dir)
	if err != nil {
		return err
	}
	if _, err := r.Refs(); err != nil {
		return err
	}
	commit, err := r.Resolve("HEAD")
	if err != nil {
		return err
	}
	tree, err := r.Tree(commit)
	if err != nil {
		return err
	}
	_, err = tree.ReadFile("file", 100)
	return err
}

// TestPipesAndDevices holds that nothing in a repository that is no file keeps
// its reader waiting, or is read without end.
func TestPipesAndDevices(t *testing.T) {
	r := newRepo(t)
	commit := r.commit("one", "file", "text")
	loose := filepath.Join("objects", string(commit)[:2], string(commit)[2:])
	for _, name := range []string{"HEAD", "config", "commondir", "packed-refs", "refs/heads/main", "refs/heads/other", "objects/info/alternates", loose} {
		file := filepath.Join(r.dir, ".git", name)
		text, missing := os.ReadFile(file)
		for what, put := range map[string]func() error{
			"a pipe":   func() error { return syscall.Mkfifo(file, 0o600) },
			"a device": func() error { return os.Symlink("/dev/zero", file) },
		} {
			if err := os.Remove(file); missing == nil && err != nil {
				t.Fatal(err)
			}
			if err := put(); err != nil {
				t.Fatal(err)
			}
			if err := readAll(r.dir); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "is no file") {
				t.Errorf("%s is %s: %v", name, what, err)
			}
			os.Remove(file)
			if missing == nil {
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := readAll(r.dir); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestHollowIndex holds that an index which claims billions of objects, and is a
// file of holes, is not believed.
func TestHollowIndex(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pack-0.idx")
	head := []byte("\xfftOc\x00\x00\x00\x02")
	for range 256 {
		head = binary.BigEndian.AppendUint32(head, 1<<30)
	}
	if err := os.WriteFile(name, head, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<36); err != nil { // takes no space
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x, err := openPackIndex(name)
	if err == nil {
		_, _, err = x.find(layers.ObjectID(make([]byte, idSize)))
	}
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errDamaged) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v, with %d bytes of memory", err, after.TotalAlloc-before.TotalAlloc)
	}
}
