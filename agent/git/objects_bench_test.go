package git

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// BenchmarkTrees reads all trees of a commit with 100,000 files, beside git.
func BenchmarkTrees(b *testing.B) {
	r := wide(b)
	root := r.id("main^{tree}")
	b.Run("git ls-tree -r", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("git", "-C", r.dir, "ls-tree", "-r", "main")
			cmd.Env = gitEnv()
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			db, err := openDatabase(filepath.Join(r.dir, "objects"))
			if err != nil {
				b.Fatal(err)
			}
			if n := countFiles(b, newObjects(db), root); n != 100_000 {
				b.Fatalf("%d files", n)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		db, err := openDatabase(filepath.Join(r.dir, "objects"))
		if err != nil {
			b.Fatal(err)
		}
		objects := newObjects(db)
		countFiles(b, objects, root)
		for b.Loop() {
			countFiles(b, objects, root)
		}
	})
}

func countFiles(t testing.TB, objects *Objects, id layers.ObjectID) int {
	entries, err := objects.Tree(id)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.IsDir() {
			n += countFiles(t, objects, e.ID)
		} else {
			n++
		}
	}
	return n
}
