package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

// BenchmarkPlan plans 1,000 layers over 100,000 files in a real repository,
// beside "git ls-tree -r" of the same tree: "again" with a planner that has
// planned the commit before, ten files ago; "cold" from nothing, the repository
// not opened yet. Each iteration is one of each.
func BenchmarkPlan(b *testing.B) {
	dir, history := wideRepository(b)
	warm := openBenchView(b, dir)
	planCommit(b, warm, layers.Commit(history[0]))
	var again, cold, tree []time.Duration
	for round := 0; b.Loop(); round++ {
		commit := layers.Commit(history[1+round%(len(history)-1)])
		tree = append(tree, took(func() { run(b, dir, "sh", "-c", "git ls-tree -r "+string(commit)+" >/dev/null") }))
		again = append(again, took(func() { planCommit(b, warm, commit) }))
		cold = append(cold, took(func() { planCommit(b, openBenchView(b, dir), commit) }))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(again), "ms-again")
	b.ReportMetric(ms(again)/ms(tree), "×ls-tree-again")
	b.ReportMetric(ms(cold), "ms-cold")
	b.ReportMetric(ms(cold)/ms(tree), "×ls-tree-cold")
	b.ReportMetric(peakMiB(b), "MiB-peak")
}

// BenchmarkHistory plans and explains every commit of a history of 2,000, as
// replay does: 40 layers over 1,200 files, each commit changes a few. Each
// iteration is the whole history.
func BenchmarkHistory(b *testing.B) {
	const commits = 2000
	dir := longRepository(b, commits)
	var all []time.Duration
	for b.Loop() {
		all = append(all, took(func() {
			view := openBenchView(b, dir)
			history, _, err := view.history("", 0)
			if err != nil || len(history) != commits {
				b.Fatalf("%d commits: %v", len(history), err)
			}
			for p, err := range view.planAhead(b.Context(), history, nil) {
				if err != nil {
					b.Fatal(err)
				}
				checkKeys(b, p.plan)
			}
		}))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(commits/ms(all)*1000, "plans/s")
}

// BenchmarkFetch brings one new commit of the repository with 100,000 files to
// a mirror, beside "git fetch". Each iteration is one commit, ten files.
func BenchmarkFetch(b *testing.B) {
	dir, history := wideRepository(b)
	bare := filepath.Join(b.TempDir(), "bare.git")
	run(b, "", "git", "init", "-q", "--bare", "-b", "trunk", bare)
	run(b, bare, "git", "fetch", "-q", "file://"+dir, history[0]+":refs/heads/main")
	mirror, err := git.Open(b.Context(), b.TempDir(), git.Remote{URL: "file://" + dir}, git.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	const ref = layers.Ref("refs/heads/main")
	if err := mirror.Fetch(b.Context(), ref, layers.Commit(history[0])); err != nil {
		b.Fatal(err)
	}
	var ours, theirs []time.Duration
	for round := 0; b.Loop(); round++ {
		if round+1 == len(history) {
			b.Fatalf("there are %d commits to fetch", round)
		}
		commit := history[round+1]
		ours = append(ours, took(func() {
			if err := mirror.Fetch(b.Context(), ref, layers.Commit(commit)); err != nil {
				b.Fatal(err)
			}
		}))
		theirs = append(theirs, took(func() { run(b, bare, "git", "fetch", "-q", "file://"+dir, commit+":refs/heads/main") }))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(ours), "ms-fetch")
	b.ReportMetric(ms(ours)/ms(theirs), "×git-fetch")
}

func took(work func()) time.Duration {
	began := time.Now()
	work()
	return time.Since(began)
}

func openBenchView(b *testing.B, dir string) *view {
	b.Helper()
	v, err := openView(b.Context(), dir, "", usualExport())
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func planCommit(b *testing.B, v *view, commit layers.Commit) *layers.Plan {
	b.Helper()
	plan, err := v.plan(b.Context(), commit)
	if err != nil {
		b.Fatal(err)
	}
	checkKeys(b, plan)
	return plan
}

func checkKeys(b *testing.B, plan *layers.Plan) {
	b.Helper()
	for _, layer := range plan.Layers {
		if layer.Key == "" {
			b.Fatalf("%s has no key: %s", layer.Name, layer.Fault)
		}
	}
}

// peakMiB is the largest resident set that this process has had.
func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	var kib float64
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// wideRepository has 1,000 layers with 99 files each: ten bases, a hundred
// frameworks and the experiments on them. Each of its 200 later commits changes
// ten files.
func wideRepository(b *testing.B) (dir string, history []string) {
	in := newImport(b)
	for i := range 1000 {
		in.layer(i, 10, 99)
	}
	in.commit()
	for n := range 200 {
		for i := range 10 {
			in.file(fmt.Sprintf("layers/l%04d/src/d0/f00.py", 100+(n*10+i)%900), fmt.Sprintf("commit %d\n", n))
		}
		in.commit()
	}
	return in.done()
}

// longRepository has 40 layers with 30 files each, and many commits: most
// change a file or two, some a Dockerfile, few one of the four bases.
func longRepository(b *testing.B, commits int) (dir string) {
	in := newImport(b)
	for i := range 40 {
		in.layer(i, 4, 30)
	}
	in.commit()
	for n := 1; n < commits; n++ {
		layer := 4 + n*7%36
		in.file(fmt.Sprintf("layers/l%04d/src/d%d/f%02d.py", layer, n%5, n%30), fmt.Sprintf("commit %d\n", n))
		in.file("README.md", fmt.Sprintf("commit %d\n", n))
		if n%10 == 0 {
			in.dockerfile(layer, 4, n)
		}
		if n%50 == 0 {
			in.dockerfile(n/50%4, 4, n)
		}
		in.commit()
	}
	dir, _ = in.done()
	return dir
}

// fastImport writes a repository through git fast-import.
type fastImport struct {
	b      *testing.B
	dir    string
	cmd    *exec.Cmd
	out    *bufio.Writer
	close  func() error
	config strings.Builder
	files  strings.Builder // of the next commit
	n      int
}

func newImport(b *testing.B) *fastImport {
	in := &fastImport{b: b, dir: b.TempDir()}
	run(b, "", "git", "init", "-q", "--bare", "-b", "main", in.dir)
	in.cmd = exec.CommandContext(b.Context(), "git", "-C", in.dir, "fast-import", "--quiet")
	in.cmd.Stderr = os.Stderr
	pipe, err := in.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := in.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	in.out, in.close = bufio.NewWriterSize(pipe, 1<<20), pipe.Close
	in.config.WriteString("version: 1\nlayers:\n")
	return in
}

func (in *fastImport) file(path, text string) {
	fmt.Fprintf(&in.files, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
}

// layer adds a layer to the first commit; the first layers are bases.
func (in *fastImport) layer(i, bases, files int) {
	name := fmt.Sprintf("l%04d", i)
	fmt.Fprintf(&in.config, "  - {name: %s, kind: %s, context: layers/%s", name, layers.Experiment, name)
	if i >= bases {
		fmt.Fprintf(&in.config, ", parent: l%04d", i/bases)
	}
	in.config.WriteString("}\n")
	in.dockerfile(i, bases, 0)
	for f := range files {
		in.file(fmt.Sprintf("layers/%s/src/d%d/f%02d.py", name, f%5, f), fmt.Sprintf("file %d of layer %d\n", f, i))
	}
}

func (in *fastImport) dockerfile(i, bases, version int) {
	from := "debian:12"
	if i >= bases {
		from = fmt.Sprintf("l%04d", i/bases)
	}
	in.file(fmt.Sprintf("layers/l%04d/Dockerfile", i), fmt.Sprintf(
		"FROM %s\nENV VERSION=%d\nWORKDIR /lab\nCOPY src /src\nRUN build %d\nCOPY src/d1/*.py /lab/\nCMD [\"run\"]\n", from, version, i))
}

func (in *fastImport) commit() {
	if in.n == 0 {
		in.file(layers.ConfigFile, in.config.String())
	}
	in.n++
	fmt.Fprintf(in.out, "commit refs/heads/main\ncommitter bench <bench@lab.example> %d +0000\ndata 1\nx\n%s", 1e9+in.n, in.files.String())
	in.files.Reset()
}

// done returns the repository and its commits, oldest first.
func (in *fastImport) done() (dir string, history []string) {
	if err := in.out.Flush(); err != nil {
		in.b.Fatal(err)
	}
	if err := in.close(); err != nil {
		in.b.Fatal(err)
	}
	if err := in.cmd.Wait(); err != nil {
		in.b.Fatalf("git fast-import: %v", err)
	}
	list := exec.Command("git", "-C", in.dir, "rev-list", "--reverse", "main")
	out, err := list.Output()
	if err != nil {
		in.b.Fatal(err)
	}
	return in.dir, strings.Fields(string(out))
}
