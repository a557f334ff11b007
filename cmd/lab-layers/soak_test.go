package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	soakTime = flag.Duration("soak", 0, "how long TestSoak goes on, and whether the load tests are run")
	soakSeed = flag.Uint64("soak-seed", 0, "what TestSoak does at random; 0 is another each time")
)

// TestSoak leaves an agent and all its parts alone with two repositories that
// are pushed to at random, one on this machine with the hook and one over http
// by polling, while the agent, PostgreSQL and BuildKit are killed at random and
// remotes go away. For the last quarter of the time nothing is killed, so that
// what an agent piles up is seen. It holds that every push came to one end, and
// a true one, that what is recorded of each ref is what a fresh plan says, that
// the registry has it, that nothing was built twice for nothing, and that
// nothing is left.
func TestSoak(t *testing.T) {
	if *soakTime <= 0 {
		t.Skip("it takes as long as -soak says: make soak")
	}
	newSoak(newLab(t)).soak()
}

// soak leaves the agents to pushes and faults for as long as it is told, and
// judges them.
func (s *soak) soak() {
	s.Helper()
	for _, a := range s.agents() {
		s.check(a.start())
	}
	began := time.Now()
	calm := began.Add(*soakTime * 3 / 4)
	s.act(calm, s.faults)
	s.check(s.settle())
	s.report.Before = s.usage()
	s.act(began.Add(*soakTime), nil)
	s.check(s.settle())
	s.report.After = s.usage()
	s.grown()
	s.judge()
	s.end()
	s.report.Seconds = int(time.Since(began).Seconds())
	s.tell()
}

// soak is an agent of its own, the repositories that it watches, and what was
// done to them.
type soak struct {
	*soakAgent
	second  *soakAgent // works beside it on the same parts; nil if there is none
	parts   *soakParts // that they were given; nil if the agent has its own
	seed    uint64
	remotes []*soakRemote
	steps   *soakSteps
	report  soakReport

	mu     sync.Mutex
	breaks []soakBreak
}

// soakBreak is something that may have ended a build before its time.
type soakBreak struct {
	at   time.Time
	what string
}

// soakReport is what a soak comes to.
type soakReport struct {
	Seed    uint64         `json:"seed"`
	Seconds int            `json:"seconds"`
	Pushes  map[string]int `json:"pushes"`
	Breaks  map[string]int `json:"breaks"`
	Runs    map[string]int `json:"runs"`
	// Attempts are those at all runs together.
	Attempts int `json:"attempts"`
	// Built are keys; Steps are RUN instructions that ran, of which Again did so
	// after they had been broken off.
	Built  int        `json:"built"`
	Steps  int        `json:"steps"`
	Again  int        `json:"again"`
	Before *soakUsage `json:"before"`
	After  *soakUsage `json:"after"`
}

// soakSecret opens the agent to its hooks, forges and readers.
const soakSecret = "a-secret"

// get asks the agent as a reader does.
func (s *soak) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+soakSecret)
	return http.DefaultClient.Do(req)
}

func newSoak(l *lab) *soak {
	l.Helper()
	s := &soak{soakAgent: &soakAgent{program: newProgram(l)}, seed: *soakSeed, steps: newSoakSteps(l.T)}
	if s.seed == 0 {
		s.seed = rand.Uint64N(1 << 32)
	}
	s.report = soakReport{Seed: s.seed, Pushes: map[string]int{}, Breaks: map[string]int{}, Runs: map[string]int{}}
	l.Logf("-soak-seed %d", s.seed)
	s.content()
	dir := filepath.Dir(l.remote)
	near := &soakRemote{name: "near", bare: filepath.Join(dir, "near.git")}
	near.url = near.bare
	far := &soakRemote{name: "far", bare: filepath.Join(dir, "far.git"), gate: &soakGate{}}
	far.url = far.gate.serve(l.T, dir) + "/far.git"
	s.remotes = []*soakRemote{near, far}
	secret := filepath.Join(dir, "secret")
	l.check(os.WriteFile(secret, []byte(soakSecret+"\n"), 0o600))
	s.prepare(secret, s.remotes)
	for i, r := range s.remotes {
		l.command("", "git", "clone", "-q", "--bare", l.dir, r.bare)
		r.dir = filepath.Join(dir, r.name)
		l.command("", "git", "clone", "-q", r.bare, r.dir)
		r.random = rand.New(rand.NewPCG(s.seed, uint64(i)))
		r.refs = map[string]string{"refs/heads/main": string(l.head())}
		r.pushed = []soakPush{{Ref: "refs/heads/main", Commit: string(l.head())}}
	}
	l.command("", s.binary, "hook", "install", "--repo", near.bare, "--agent", s.url, "--secret-file", secret)
	return s
}

// agents are those that there are.
func (s *soak) agents() []*soakAgent {
	if s.second == nil {
		return []*soakAgent{s.soakAgent}
	}
	return []*soakAgent{s.soakAgent, s.second}
}

// soakLayers are those of the repositories, parents first.
var soakLayers = []struct{ name, kind, parent string }{
	{"base", "base", ""}, {"pytorch", "framework", "base"}, {"tensorflow", "framework", "base"},
	{"resnet50", "experiment", "pytorch"}, {"yolov7", "experiment", "pytorch"}, {"unet", "experiment", "pytorch"},
	{"bert-base", "experiment", "tensorflow"},
}

// content makes the sample lab's root file system one of layers whose RUN steps
// tell us when they run. Content that begins with "broken" makes a step fail.
func (s *soak) content() {
	s.Helper()
	rootfs := s.read("images/base/rootfs.tar.gz")
	s.git("checkout", "-q", "--orphan", "new")
	s.git("rm", "-qrf", ".")
	config := "version: 1\nlayers:\n"
	for _, layer := range soakLayers {
		config += fmt.Sprintf("  - {name: %s, kind: %s, context: %[1]s", layer.name, layer.kind)
		from := "FROM scratch\nADD rootfs.tar.gz /\n"
		if layer.parent != "" {
			config += ", parent: " + layer.parent
			from = "FROM " + layer.parent + "\n"
		}
		config += "}\n"
		// What a step makes is decided by the contents of its layer and those
		// below: their hash names it.
		s.write(layer.name+"/Dockerfile", from+"COPY content pause /lab/"+layer.name+"/\nWORKDIR /lab/"+layer.name+"\n"+
			"RUN if grep -q ^broken content; then sleep $(cat pause); exit 7; fi\n"+
			"RUN wget -q -O /dev/null "+s.steps.url+"/"+layer.name+"/$(cat /lab/*/* | md5sum | cut -c1-16) && sleep $(cat pause)\n")
		s.write(layer.name+"/content", "common 0\n")
		s.write(layer.name+"/pause", "0\n")
	}
	s.write("base/rootfs.tar.gz", rootfs)
	s.write("lab-layers.yaml", config)
	s.write("README.md", "A lab.\n")
	s.commit("a lab that tells when it is built")
	s.git("branch", "-q", "-M", "main")
}

// act pushes, and breaks things if there is something that does, until a time.
func (s *soak) act(until time.Time, breaking func(context.Context) error) {
	s.Helper()
	ctx, stop := context.WithDeadline(s.Context(), until)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range s.remotes {
		group.Go(func() error { return s.pushes(ctx, r) })
	}
	group.Go(func() error { return s.follow(ctx) })
	if breaking != nil {
		group.Go(func() error { return breaking(ctx) })
	}
	s.check(group.Wait())
}

// broke notes that builds may have been ended.
func (s *soak) broke(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks = append(s.breaks, soakBreak{time.Now(), what})
	s.report.Breaks[what]++
}

func (s *soak) tell() {
	text, err := json.MarshalIndent(s.report, "", "  ")
	s.check(err)
	for _, r := range s.remotes {
		s.report.Pushes["refs moved of "+r.name] = len(r.pushed)
	}
	s.Logf("\n%s", s.report.table())
	fmt.Printf("%s\n", text)
}
