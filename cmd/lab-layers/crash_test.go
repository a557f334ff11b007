package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// TestKilledAnywhere kills the real agent at many points between a push and the
// end of its run, and starts it again. It holds that every run comes to one
// success, or was overtaken; none is lost or doubled, every tag is right, and nothing of a killed
// agent runs on.
func TestKilledAnywhere(t *testing.T) {
	l := newLab(t)
	p := newProgram(l)
	pushes := map[layers.Commit]bool{}
	change := 0
	push := func() layers.Commit {
		change++
		l.write("experiments/unet/hparams.json", fmt.Sprintf(`{"seed": %d}`, change))
		commit := l.commit("unet: another seed")
		l.git("push", "-q", "origin", "HEAD:main")
		pushes[commit] = true
		return commit
	}

	a := p.start()
	a.await("msg=ready")
	// The first push builds all layers: killed at its head, in its midst, and
	// at its end.
	pushes[l.head()] = true
	ended := false
	for _, point := range []string{
		`msg="a ref moved"`,
		`uri=/v2/base/blobs/uploads/ `,
		`PUT http.request.uri=/v2/pytorch/manifests/sha256:`,
		`event=tagged repository=\S+/resnet50 reference=key-`,
		// Where the run was killed after it had put the tag, it only looks at it.
		`event=(tagged|"looked up") repository=\S+/yolov7 reference=main `,
	} {
		a.await(point)
		a.kill()
		if ended = a.said(`msg="run ended"`); ended { // it was faster than the kill
			a = p.start()
			break
		}
		a = p.start()
	}
	if !ended {
		a.await(`msg="run ended"`)
	}

	for _, point := range []string{
		`msg="a ref moved"`,
		`msg="run started"`,
		`event="looked up" repository=\S+/unet reference=key-`,
		`uri=/v2/unet/blobs/uploads/ `,
		`PUT http.request.uri=/v2/unet/manifests/sha256:`,
		`GET http.request.uri=/v2/unet/manifests/sha256:`,
		`event=tagged repository=\S+/unet reference=key-`,
		`event=tagged repository=\S+/base reference=main-`,
		`event=tagged repository=\S+/unet reference=main `,
		`msg="run ended"`,
	} {
		// Were it killed before it has seen the push, the next push would be
		// all that it ever sees of both, which is no loss.
		commit := push()
		a.await(`msg="a ref moved".*new=` + commit.Short())
		if point != `msg="a ref moved"` {
			a.await(point)
		}
		a.kill()
		a = p.start()
		a.await("msg=ready")
	}
	last := push()
	a.await(`msg="run ended".*commit=` + last.Short())

	// While it runs, another on its data directory is refused.
	out, err := exec.Command(p.binary, p.args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitOutside || !strings.Contains(string(out), "another lab-layers works on "+p.data) {
		t.Errorf("a second agent: %v: %s", err, out)
	}

	runs := map[layers.Commit]int{}
	for _, run := range p.recorded() {
		runs[run.Move.New]++
		if run.State == agent.Superseded && run.Move.New != last {
			// It still waited when the next push came.
			delete(pushes, run.Move.New)
			delete(runs, run.Move.New)
			continue
		}
		if run.State != agent.Succeeded {
			t.Errorf("run %d at %s is %s: %s", run.ID, run.Move.New, run.State, run.Reason)
		}
	}
	for commit := range pushes {
		if runs[commit] != 1 {
			t.Errorf("%s has %d runs", commit, runs[commit])
		}
	}
	if len(runs) != len(pushes) {
		t.Errorf("%d commits were pushed and %d have runs", len(pushes), len(runs))
	}
	p.checkTags(pushes, last)

	if out, err := exec.Command(p.binary, "gc", "--data-dir", p.data).CombinedOutput(); err != nil || !strings.Contains(string(out), "no manifest needs them") {
		t.Errorf("clean-up by the agent: %v: %s", err, out)
	}
	p.checkTags(pushes, last)

	if err := a.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	t.Logf("%d kills", p.killed)
}

// program is the real binary on a data directory of its own.
type program struct {
	*lab
	binary string
	data   string
	// database is the URL of the one that it is given; empty is its own.
	database string
	args     []string
	killed   int
}

func newProgram(l *lab) *program {
	l.Helper()
	binary, err := shared.program()
	l.check(err)
	p := &program{lab: l, binary: binary, data: filepath.Join(filepath.Dir(l.remote), "d")}
	p.args = []string{"agent", "--repo", l.remote, "--data-dir", p.data, "--interval", "100ms", "--debug", "--listen", "127.0.0.1:0"}
	return p
}

// recorded returns the runs in the records of the running agent.
func (p *program) recorded() (runs []agent.RunSummary) {
	p.Helper()
	dec := json.NewDecoder(strings.NewReader(p.command("", p.binary, "runs", "--data-dir", p.data, "--database-url", p.database, "-o", "json")))
	for dec.More() {
		var run agent.RunSummary
		p.check(dec.Decode(&run))
		runs = append(runs, run)
	}
	return runs
}

// checkTags checks each commit's tags in the registry against the records, and
// that main is where the last commit's images are.
func (p *program) checkTags(commits map[layers.Commit]bool, last layers.Commit) {
	p.Helper()
	text := p.command("", p.binary, "history", "--data-dir", p.data, "--limit", "1000", "-o", "json")
	dec := json.NewDecoder(strings.NewReader(text))
	var parts started
	found, err := os.ReadFile(filepath.Join(p.data, startedFile))
	p.check(err)
	p.check(json.Unmarshal(found, &parts))
	images := map[layers.Commit]int{}
	for dec.More() {
		var e agent.HistoryEntry
		p.check(dec.Decode(&e))
		images[e.Commit]++
		repository := parts.Registry + "/" + string(e.Layer)
		tags := []string{"main-" + e.Commit.Short()}
		if e.Commit == last {
			tags = append(tags, "main")
		}
		for _, tag := range tags {
			d, _, err := p.agent.Carrier.Pipeline.Registry.Digest(p.Context(), repository, tag)
			p.check(err)
			if d != e.Digest {
				p.Errorf("%s:%s is %q, want %q", repository, tag, d, e.Digest)
			}
		}
	}
	for commit := range commits {
		if images[commit] != 8 {
			p.Errorf("%s has %d layers in the records", commit, images[commit])
		}
	}
}

// stopLimit is how long an agent may take to end when it is asked to.
const stopLimit = 10 * time.Second

// stop asks the agent to end, and returns how it did.
func (a *process) stop() error {
	began := time.Now()
	family := a.family()
	a.signal(syscall.SIGTERM)
	a.drain()
	err := a.cmd.Wait()
	if took := time.Since(began); took > stopLimit {
		err = errors.Join(err, fmt.Errorf("it took %s", took))
	}
	a.gone(family)
	return err
}
