package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// place is where a lab's agent keeps records and images, and builds.
type place struct {
	schema       string
	prefix       string // HOST/PREFIX
	buildkit     string
	reproducible bool
	secrets      map[string]string
}

// lab is a lab repository in the hands of an instructor, and an agent in this
// process that watches the remote. It works only when it is told to.
type lab struct {
	*testing.T
	place
	dir    string // the instructor's checkout
	remote string
	agent  *agent.Agent
	store  *postgres.Store
	builds *counted

	mu    sync.Mutex
	ended []agent.Verdict
}

// newLab clones the sample lab for one test. Nothing of it is built yet.
func newLab(t *testing.T) *lab {
	t.Helper()
	shared.open(t)
	p := newPlace()
	dir := filepath.Join(shared.dir, filepath.Base(p.prefix))
	l := &lab{T: t, place: p, dir: filepath.Join(dir, "lab"), remote: filepath.Join(dir, "lab.git")}
	l.command("", "git", "clone", "-q", "--bare", shared.seed, l.remote)
	l.command("", "git", "clone", "-q", l.remote, l.dir)
	l.connect()
	return l
}

// newPlace has no records and no images, and the shared BuildKit.
func newPlace() place {
	n := shared.count.Add(1)
	return place{schema: fmt.Sprintf("lab_%d", n), prefix: fmt.Sprintf("%s/lab%d", shared.parts.Registry, n), buildkit: shared.address}
}

// beside is another agent for the same repository.
func (l *lab) beside(p place) *lab {
	other := &lab{T: l.T, place: p, dir: l.dir, remote: l.remote}
	other.connect()
	return other
}

// connect opens the records and joins the parts as the agent command does.
func (l *lab) connect() {
	l.Helper()
	store, err := postgres.Open(l.Context(), shared.parts.DatabaseURL, postgres.Options{Schema: l.schema})
	l.check(err)
	l.Cleanup(store.Close)
	l.store = store
	flags := shared.flags()
	flags.export.reproducible, flags.secrets = l.reproducible, l.secrets
	s := &stack{store: store, keychain: shared.stack.keychain}
	l.Cleanup(s.close)
	carrier, err := flags.carrier(s, l.prefix, []string{l.buildkit})
	l.check(err)
	l.builds = &counted{Builder: carrier.Pipeline.Builder}
	carrier.Pipeline.Builder = l.builds
	mirror, err := git.Open(l.Context(), filepath.Join(filepath.Dir(l.remote), "mirrors"), git.Remote{URL: l.remote}, git.Limits{})
	l.check(err)
	l.agent = &agent.Agent{
		Store: store, Carrier: carrier, Sources: []agent.Source{mirror}, Owner: owner(), Log: slog.New(slog.DiscardHandler),
		Progress: agent.Progress{End: func(_ agent.Run, v agent.Verdict) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ended = append(l.ended, v)
		}},
	}
}

// counted notes which layers BuildKit is asked for.
type counted struct {
	pipeline.Builder
	mu     sync.Mutex
	layers []layers.Name
}

func (c *counted) Build(ctx context.Context, order pipeline.Order, progress func(pipeline.Event)) (pipeline.Built, error) {
	c.mu.Lock()
	c.layers = append(c.layers, order.Layer)
	c.mu.Unlock()
	return c.Builder.Build(ctx, order, progress)
}

func (c *counted) take() []layers.Name {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.layers
	c.layers = nil
	slices.Sort(taken)
	return taken
}

func (l *lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) command(dir, name string, args ...string) string {
	l.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Instructor", "GIT_AUTHOR_EMAIL=instructor@lab.example",
		"GIT_COMMITTER_NAME=Instructor", "GIT_COMMITTER_EMAIL=instructor@lab.example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (l *lab) git(args ...string) string {
	l.Helper()
	return l.command(l.dir, "git", args...)
}

func (l *lab) write(file, text string) {
	l.Helper()
	path := filepath.Join(l.dir, file)
	l.check(os.MkdirAll(filepath.Dir(path), 0o755))
	l.check(os.WriteFile(path, []byte(text), 0o644))
}

func (l *lab) read(file string) string {
	l.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, file))
	l.check(err)
	return string(text)
}

// replace changes a text that must be there.
func (l *lab) replace(file, old, new string) {
	l.Helper()
	text := l.read(file)
	if !strings.Contains(text, old) {
		l.Fatalf("%s has no %q", file, old)
	}
	l.write(file, strings.Replace(text, old, new, 1))
}

func (l *lab) commit(subject string) layers.Commit {
	l.Helper()
	l.git("add", "-A")
	l.git("commit", "-q", "--allow-empty", "-m", subject)
	return l.head()
}

func (l *lab) head() layers.Commit {
	l.Helper()
	return layers.Commit(l.git("rev-parse", "HEAD"))
}

// push commits what was changed, pushes HEAD to a ref, has the agent work it
// off, and returns the verdict.
func (l *lab) push(ref string) agent.Verdict {
	l.Helper()
	if l.git("status", "--porcelain") != "" {
		l.commit("a change for " + ref)
	}
	l.git("push", "-q", "--force", "origin", "HEAD:"+ref)
	return l.settle()
}

// pushed is push to main, which must succeed.
func (l *lab) pushed() agent.Verdict {
	l.Helper()
	v := l.push("refs/heads/main")
	if v.State != agent.Succeeded {
		l.Fatalf("the run %s: %s", v.State, v.Reason)
	}
	return v
}

// settle has the agent look and work until nothing is left: one run.
func (l *lab) settle() agent.Verdict {
	l.Helper()
	l.builds.take()
	l.check(l.agent.Look(l.Context(), l.agent.Sources[0]))
	return l.work()
}

func (l *lab) work() agent.Verdict {
	l.Helper()
	before := len(l.ended)
	for {
		worked, err := l.agent.Work(l.Context())
		l.check(err)
		if !worked {
			break
		}
	}
	if ended := len(l.ended) - before; ended != 1 {
		l.Fatalf("%d runs ended: %+v", ended, l.runs())
	}
	return l.ended[before]
}

func (l *lab) runs() []agent.RunSummary {
	l.Helper()
	runs, err := l.store.Runs(l.Context(), 100)
	l.check(err)
	return runs
}

// built lists the layers that a run built, which must be those that BuildKit
// was asked for.
func (l *lab) built(v agent.Verdict) string {
	l.Helper()
	made := with(v, pipeline.Made)
	if asked := l.builds.take(); !slices.Equal(made, asked) {
		l.Errorf("the run says that it built %v, but BuildKit was asked for %v", made, asked)
	}
	return joined(made)
}

// with lists the layers that came out so, by name.
func with(v agent.Verdict, state pipeline.OutcomeState) (names []layers.Name) {
	for _, out := range v.Outcomes {
		if out.State == state {
			names = append(names, out.Layer)
		}
	}
	slices.Sort(names)
	return names
}

func joined(names []layers.Name) string {
	var texts []string
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, " ")
}

// expires returns how long the tags of a run live; they must all live as long.
func (l *lab) expires(v agent.Verdict) (names string, life time.Duration) {
	l.Helper()
	seen := map[string]bool{}
	for _, tag := range v.Tags {
		seen[tag.Name] = true
		if !tag.Expires.IsZero() {
			life = time.Until(tag.Expires)
		}
	}
	var list []string
	for name := range seen {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " "), life
}
