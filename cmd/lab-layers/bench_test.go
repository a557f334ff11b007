package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// BenchmarkPush measures the agent's whole way, from a moved ref to the recorded
// snapshot: the sample lab of eight layers on a base of 128 MB, the embedded
// parts. It needs what the demo needs. Each iteration is one push of each sort.
//
// A one-line change is measured beside buildctl, as a user runs it: a process
// that builds and pushes the same target from a ready checkout, at the same
// BuildKit and registry. Who is first changes from round to round.
func BenchmarkPush(b *testing.B) {
	lab := newBenchLab(b)
	var copied, ran, copiedBare, ranBare, readme []time.Duration
	change, none := phases{}, phases{}
	for round := 0; b.Loop(); round++ {
		for _, layer := range []struct {
			name       layers.Name
			ours, bare *[]time.Duration
		}{{"resnet50", &copied, &copiedBare}, {"unet", &ran, &ranBare}} {
			agent := func() {
				lab.edit("experiments/"+string(layer.name)+"/hparams.json", fmt.Sprintf("{\"seed\": %d}\n", round))
				took := lab.push()
				if lab.watch.builds != 1 {
					b.Fatalf("a change to %s made %d builds", layer.name, lab.watch.builds)
				}
				*layer.ours = append(*layer.ours, took)
				if layer.name == "resnet50" {
					change.add(lab.watch)
				}
			}
			bare := func() { *layer.bare = append(*layer.bare, lab.buildctl(layer.name, round)) }
			if round%2 == 0 {
				agent()
				bare()
			} else {
				bare()
				agent()
			}
		}
		lab.edit("README.md", fmt.Sprintf("Round %d.\n", round))
		readme = append(readme, lab.push())
		none.add(lab.watch)
		if lab.watch.builds != 0 {
			b.Fatalf("a README edit made %d builds", lab.watch.builds)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(copied), "ms-COPY")
	b.ReportMetric(ms(copied)/ms(copiedBare), "×buildctl-COPY")
	b.ReportMetric(ms(ran), "ms-COPY-RUN")
	b.ReportMetric(ms(ran)/ms(ranBare), "×buildctl-COPY-RUN")
	b.ReportMetric(ms(readme), "ms-README")
	b.Logf("a COPY that changed, in ms: %v\na README that changed: %v", change, none)
}

// ms is the median in milliseconds.
func ms(all []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[len(sorted)/2]) / 1e6
}

// phases is how long each part of the agent was at work, push by push.
type phases map[string][]time.Duration

func (p phases) add(w *watch) {
	for name, took := range w.took {
		p[name] = append(p[name], took)
	}
}

func (p phases) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, fmt.Sprintf("%s %.1f", name, ms(p[name])))
	}
	return strings.Join(parts, ", ")
}

// benchLab is a lab repository, the remote that it is pushed to, and an agent
// in this process that watches the remote.
type benchLab struct {
	b       *testing.B
	dir     string // of the lab
	bare    string // of checkouts for buildctl
	address string // of BuildKit
	prefix  string // of the registry's repositories
	stack   *stack
	agent   *agent.Agent
	source  agent.Source
	watch   *watch
}

func newBenchLab(b *testing.B) *benchLab {
	b.Setenv("PATH", tools(b)+":"+os.Getenv("PATH"))
	// Sockets have short paths; b.TempDir has not.
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	lab := &benchLab{b: b, dir: filepath.Join(dir, "lab"), bare: filepath.Join(dir, "bare"), watch: &watch{}}

	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	onStop := func(stop func(context.Context)) { b.Cleanup(func() { stop(ctx) }) }
	flags := stackFlags{dataDir: dir, export: usualExport(), parallel: 4}
	if lab.address, err = flags.startBuildKit(ctx, log, onStop); err != nil {
		b.Fatal(err)
	}
	flags.dataDir, flags.buildkit = filepath.Join(dir, "data"), []string{lab.address}
	stack, err := flags.openStack(ctx, log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(stack.close)
	lab.stack = stack
	b.Setenv("DOCKER_CONFIG", dockerConfig(b, stack))

	run(b, "", "../../testdata/rootfs/newlab.sh", lab.dir)
	lab.replace("images/base/Dockerfile", "WORKDIR /lab\n", "WORKDIR /lab\nRUN head -c 134217728 /dev/urandom >/lab/libraries\n")
	lab.replace("experiments/resnet50/Dockerfile", "RUN lab-check\n", "")
	lab.commit()
	remote := filepath.Join(dir, "lab.git")
	run(b, "", "git", "clone", "-q", "--bare", lab.dir, remote)
	run(b, lab.dir, "git", "remote", "add", "origin", remote)

	mirror, err := git.Open(ctx, filepath.Join(dir, "git"), git.Remote{URL: remote}, git.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	lab.source = &watchedSource{mirror, lab.watch}
	lab.prefix = stack.carrier.Pipeline.Prefix
	lab.watch.attach(stack.carrier)
	lab.agent = &agent.Agent{
		Store: watchedStore{stack.store, lab.watch}, Carrier: stack.carrier, Sources: []agent.Source{lab.source}, Owner: owner(), Log: log,
		Progress: agent.Progress{End: func(_ agent.Run, v agent.Verdict) {
			if v.State != agent.Succeeded {
				b.Errorf("the run %s: %s", v.State, v.Reason)
			}
		}},
	}
	lab.push()
	for _, layer := range []layers.Name{"resnet50", "unet"} {
		lab.checkout(layer, stack.carrier.Pipeline.Registry)
	}
	return lab
}

// dockerConfig is a directory with the credentials that buildctl pushes with.
func dockerConfig(b *testing.B, s *stack) string {
	host, _, _ := strings.Cut(s.carrier.Pipeline.Prefix, "/")
	target, err := name.NewRegistry(host)
	if err != nil {
		b.Fatal(err)
	}
	found, err := s.keychain.Resolve(target)
	if err != nil {
		b.Fatal(err)
	}
	auth, err := found.Authorization()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	encoded := base64.StdEncoding.EncodeToString([]byte(auth.Username + ":" + auth.Password))
	write(b, filepath.Join(dir, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, encoded))
	return dir
}

// tools is the directory of buildkitd and buildctl.
func tools(b *testing.B) string {
	dir, err := filepath.Abs("../../bin")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"buildkitd", "buildctl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			b.Fatalf("%v: run \"make build\" first", err)
		}
	}
	return dir
}

// push commits and pushes, and then measures the agent at work on it.
func (l *benchLab) push() time.Duration {
	l.commit()
	run(l.b, l.dir, "git", "push", "-q", "--all", "origin")
	l.watch.reset()
	began := time.Now()
	if err := l.agent.Look(l.b.Context(), l.source); err != nil {
		l.b.Fatal(err)
	}
	if worked, err := l.agent.Work(l.b.Context()); err != nil || !worked {
		l.b.Fatalf("worked %v: %v", worked, err)
	}
	return time.Since(began)
}

func (l *benchLab) commit() {
	run(l.b, l.dir, "git", "-c", "user.name=bench", "-c", "user.email=bench@lab.example", "commit", "-qam", "bench", "--allow-empty")
}

func (l *benchLab) edit(file, text string) { write(l.b, filepath.Join(l.dir, file), text) }

func (l *benchLab) replace(file, old, new string) {
	text, err := os.ReadFile(filepath.Join(l.dir, file))
	if err != nil || !strings.Contains(string(text), old) {
		l.b.Fatalf("%s has no %q: %v", file, old, err)
	}
	l.edit(file, strings.Replace(string(text), old, new, 1))
}

// checkout makes what buildctl builds: the layer's files, its parent by digest.
func (l *benchLab) checkout(layer layers.Name, registry pipeline.Registry) {
	dir := filepath.Join(l.bare, string(layer))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(l.dir, "experiments", string(layer)))); err != nil {
		l.b.Fatal(err)
	}
	parent, ok, err := registry.Digest(l.b.Context(), l.prefix+"/pytorch", "main")
	if err != nil || !ok {
		l.b.Fatalf("pytorch:main: %v", err)
	}
	file := filepath.Join(dir, "Dockerfile")
	text, err := os.ReadFile(file)
	if err != nil {
		l.b.Fatal(err)
	}
	write(l.b, file, strings.Replace(string(text), "FROM pytorch", fmt.Sprintf("FROM %s/pytorch@%s", l.prefix, parent), 1))
}

// buildctl measures the bare tool on a one-line change.
func (l *benchLab) buildctl(layer layers.Name, round int) time.Duration {
	dir := filepath.Join(l.bare, string(layer))
	write(l.b, filepath.Join(dir, "hparams.json"), fmt.Sprintf("{\"bare\": %d}\n", round))
	began := time.Now()
	run(l.b, dir, "buildctl", "--addr", l.address, "build", "--frontend", "dockerfile.v0",
		"--local", "context=.", "--local", "dockerfile=.",
		"--output", fmt.Sprintf("type=image,name=%s/bare/%s:main,push=true", l.prefix, layer))
	return time.Since(began)
}

func run(b *testing.B, dir, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func write(b *testing.B, path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}
