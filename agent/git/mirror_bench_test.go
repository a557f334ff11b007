package git

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

// BenchmarkUpdate brings a push of one small commit, beside git fetch.
func BenchmarkUpdate(b *testing.B) {
	work := newRepo(b)
	for i := range 300 {
		work.write(fmt.Sprintf("d%d/f%d", i%30, i), fmt.Sprint("file ", i, "\n"))
	}
	commit, bare := work.commit("first"), work.bare()
	n := 0
	push := func() {
		n++
		commit = work.commit("next", "d1/f1", fmt.Sprint("edit ", n, "\n"))
		work.git("push", "-q", "origin", "main")
	}
	b.Run("git fetch", func(b *testing.B) {
		mirror := &repo{b, filepath.Join(b.TempDir(), "mirror.git")}
		mirror.command("", "clone", "-q", "--mirror", "file://"+bare.dir, mirror.dir)
		for b.Loop() {
			b.StopTimer()
			push()
			b.StartTimer()
			mirror.git("fetch", "-q", "--prune")
		}
	})
	for name, remote := range map[string]Remote{
		"path": {URL: bare.dir},
		"git":  {URL: serveGit(b, filepath.Dir(bare.dir)) + "/bare.git"},
	} {
		b.Run(name, func(b *testing.B) {
			m := openMirror(b, remote)
			mustFetch(b, m, "refs/heads/main", commit)
			for b.Loop() {
				b.StopTimer()
				push()
				b.StartTimer()
				if got := mustRefs(b, m)["refs/heads/main"]; got != commit {
					b.Fatalf("main is at %s", got)
				}
				mustFetch(b, m, "refs/heads/main", commit)
				tree, err := m.Tree(context.Background(), commit)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := tree.Entry("d1/f1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPoll looks at a local repository in which nothing moved.
func BenchmarkPoll(b *testing.B) {
	work := newRepo(b)
	work.commit("first", "f", "x")
	for i := range 100 {
		work.git("branch", fmt.Sprintf("group%d/branch%d", i%10, i))
	}
	m := openMirror(b, Remote{URL: work.bare().dir})
	for _, state := range []string{"fresh", "settled"} {
		b.Run(state, func(b *testing.B) {
			if state == "settled" {
				settle(b, m.from.path)
			}
			for b.Loop() {
				if refs := mustRefs(b, m); len(refs) != 101 {
					b.Fatalf("%d refs", len(refs))
				}
			}
		})
	}
}

// BenchmarkHistory reads commits of a long history, and all their trees.
func BenchmarkHistory(b *testing.B) {
	r := wide(b)
	commit := layers.Commit(r.git("rev-parse", "main"))
	b.Run("commits", func(b *testing.B) {
		n := 0
		for b.Loop() {
			list, err := mustOpen(b, r.dir).FirstParents("", commit, 0)
			if err != nil {
				b.Fatal(err)
			}
			n += len(list)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "commits/s")
	})
}
