package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/buildkit"
)

var (
	oracleEdits    = flag.Int("oracle-edits", 24, "how many edits TestOracle makes")
	oracleNeedless = flag.Bool("oracle-needless", false, "whether TestOracle shows the states that were built needlessly")
	oracleSeed     = flag.Uint64("oracle-seed", 1, "which repositories and edits TestOracle makes")
)

// TestOracle holds that no rebuild is ever missed: over random repositories and
// edits, two states of one key are one image to BuildKit's own Dockerfile
// frontend, which builds them from a checkout and without a cache. Needless
// builds are counted, those of layers that fail either way apart. Now and then
// the image is also made our way, and must have the same files.
func TestOracle(t *testing.T) {
	o := newOracle(t)
	c := newChance(*oracleSeed)
	needless, fails, changed := map[string]int{}, map[string]int{}, map[string]int{}
	var state, earlier checkout
	var before judged
	failing := 0
	for i := range *oracleEdits {
		if i%8 == 0 || failing > 3 {
			state, earlier, failing = c.repository(o.tools), nil, 0
			before = o.judge(state)
		}
		after, what := c.edit(state, o.tools)
		if earlier != nil && c.once(10) {
			after, what = earlier, "revert"
		}
		earlier = state
		now := o.judge(after)
		for _, layer := range []string{"base", "lab"} {
			if old, known := o.truth[now.keys[layer]]; known && now.keys[layer] != "" && old.outcome != now.outcomes[layer] {
				o.missed(layer, what, old.state, after)
			}
			if layer == "lab" && now.keys[layer] != before.keys[layer] {
				changed[what]++
				switch {
				case now.outcomes[layer] != before.outcomes[layer]:
				case now.outcomes[layer] == "fails":
					fails[what]++
				default:
					needless[what]++
					if *oracleNeedless {
						t.Logf("needless after %q:\n%s\nthen\n%s", what, state, after)
					}
				}
			}
			o.truth[now.keys[layer]] = seen{now.outcomes[layer], after}
		}
		if i%4 == 0 && strings.HasPrefix(now.outcomes["lab"], "sha256:") {
			o.same(after, now)
		}
		failing++
		if strings.HasPrefix(now.outcomes["lab"], "sha256:") {
			failing = 0
		}
		state, before = after, now
	}
	for _, what := range slices.Sorted(maps.Keys(changed)) {
		t.Logf("%-10s %4d keys changed, %4d needlessly, %4d of layers that fail before and after", what, changed[what], needless[what], fails[what])
	}
	t.Logf("%d solves, %d of them failed; %d images compared file by file", o.solves, o.failed, o.compared)
}

// seen is a state and what became of it.
type seen struct {
	outcome string // a digest, or "fails"
	state   checkout
}

// judged is a state's keys, and the digests that BuildKit gives it.
type judged struct {
	keys     map[string]layers.Key
	outcomes map[string]string
	plan     *layers.Plan
}

// oracle asks BuildKit.
type oracle struct {
	t       *testing.T
	dir     string
	client  *client.Client
	builder *buildkit.Builder
	host    string
	tools   string
	planner *layers.Planner
	objects *git.Repository
	truth   map[layers.Key]seen
	bases   map[string]string // outcomes of the layer "base", by its files

	solves, failed, compared int
	failure                  error // of the last solve that failed
}

// outside describes images in the test's registry.
// write checks a state out as git would. Times are after SOURCE_DATE_EPOCH, so
// that they are rewritten, and come from the content: BuildKit takes a file of
// one size and time for unchanged.
// judge plans a state, and has BuildKit build it.
func (o *oracle) judge(state checkout) judged {
	o.t.Helper()
	j := judged{keys: map[string]layers.Key{}, outcomes: map[string]string{}}
	var dir string
	var cfg *layers.Config
	dir, j.plan, cfg = o.plan(state)
	for _, l := range j.plan.Layers {
		j.keys[string(l.Name)] = l.Key
	}
	var args map[string]string
	for _, l := range cfg.Layers {
		args = l.Args // of the last, "lab"
	}
	of := state["base/Dockerfile"].data + "\x00" + state["base/top"].data
	if o.bases[of] == "" {
		o.bases[of] = o.solve(filepath.Join(dir, "base"), "", "", nil)
	}
	j.outcomes["base"], j.outcomes["lab"] = o.bases[of], "fails"
	if j.outcomes["base"] != "fails" {
		attrs := map[string]string{"context:base": "docker-image://" + o.host + "/tools@" + j.outcomes["base"]}
		for name, value := range args {
			attrs["build-arg:"+name] = value
		}
		j.outcomes["lab"] = o.solve(filepath.Join(dir, "lab"), filepath.Join(dir, filepath.Dir(oracleDockerfile)), filepath.Base(oracleDockerfile),
			attrs)
	}
	return j
}

// plan checks a state out and plans it.
func (o *oracle) plan(state checkout) (dir string, plan *layers.Plan, cfg *layers.Config) {
	o.t.Helper()
	dir = o.write(state)
	os.Remove(o.path("repo/index"))
	o.git("add", "-A", "-f", ".")
	root, err := layers.ParseObjectID(o.git("write-tree"))
	if err != nil {
		o.t.Fatal(err)
	}
	if cfg, err = layers.ParseConfig("lab-layers.yaml", []byte(state["lab-layers.yaml"].data)); err != nil {
		o.t.Fatal(err)
	}
	plan, err = o.planner.Plan(o.t.Context(), layers.Tree{Objects: o.objects.Objects(), Root: root}, cfg)
	if err != nil {
		o.t.Fatalf("plan: %v\n%s", err, state)
	}
	return dir, plan, cfg
}

// solve does what "buildctl build --frontend dockerfile.v0 --no-cache" does. It
// returns the image's digest, or "fails".
// same makes the images our way and compares their files.
func (o *oracle) same(state checkout, j judged) {
	o.t.Helper()
	o.compared++
	var ref string
	var config []byte
	for _, l := range j.plan.Layers {
		if l.Recipe == nil {
			o.t.Errorf("%s builds for BuildKit, and has a fault for us: %s\n%s", l.Name, l.Fault, state)
			return
		}
		solvable, err := l.Recipe.Bind(o.t.Context(), ref, config, "")
		if err != nil {
			o.t.Fatal(err)
		}
		repository := o.host + "/tools"
		built, err := o.builder.Build(o.t.Context(), pipeline.Order{Layer: l.Name, Key: l.Key, Build: solvable, Repository: repository}, nil)
		if err != nil {
			o.t.Errorf("%s builds for BuildKit, not for us: %v\n%s%s", l.Name, err, built.Log, state)
			return
		}
		ref = repository + "@" + string(built.Digest)
		if _, config, err = o.config(ref); err != nil {
			o.t.Fatal(err)
		}
		ours, theirs := o.list(ref), o.list(repository+"@"+j.outcomes[string(l.Name)])
		if ours != theirs {
			o.t.Errorf("%s has other files than BuildKit gives it:\n%s\nBuildKit:\n%s\n%s", l.Name, ours, theirs, state)
		}
	}
}

// list is the entries of an image's layers.
// missed reports a missed rebuild, cut down to what it takes.
func (o *oracle) missed(layer, what string, before, after checkout) {
	o.t.Helper()
	misses := func(a, b checkout) bool {
		x, y := o.judge(a), o.judge(b)
		return x.keys[layer] != "" && x.keys[layer] == y.keys[layer] && x.outcomes[layer] != y.outcomes[layer]
	}
	if !misses(before, after) {
		o.t.Errorf("%s: BuildKit made two images of one state, or failed for a while:\n%s\n%s", layer, before, after)
		return
	}
	union := maps.Clone(before)
	maps.Copy(union, after)
	for _, file := range slices.Sorted(maps.Keys(union)) {
		a, b := maps.Clone(before), maps.Clone(after)
		delete(a, file)
		delete(b, file)
		if strings.HasPrefix(file, "lab/") && misses(a, b) {
			before, after = a, b
		}
	}
	for i := len(strings.Split(before[oracleDockerfile].data, "\n")) - 2; i >= 0 && before[oracleDockerfile] == after[oracleDockerfile]; i-- {
		lines := strings.Split(before[oracleDockerfile].data, "\n")
		a, b := maps.Clone(before), maps.Clone(after)
		text := strings.Join(slices.Delete(lines, i, i+1), "\n")
		a.put(oracleDockerfile, text)
		b.put(oracleDockerfile, text)
		if misses(a, b) {
			before, after = a, b
		}
	}
	o.t.Errorf("missed rebuild of %s after %q (seed %d):\n%s\nthen\n%s", layer, what, *oracleSeed, before, after)
}

// String lists a state, for people.
func (c checkout) String() string {
	var b strings.Builder
	for _, file := range slices.Sorted(maps.Keys(c)) {
		f := c[file]
		switch {
		case strings.HasPrefix(f.data, "packed"):
			fmt.Fprintf(&b, "-- %s: archive %x\n", file, sha256.Sum256([]byte(f.data)))
		case strings.Contains(f.data, "\n"):
			fmt.Fprintf(&b, "-- %s --\n%s", file, f.data)
		case f.link:
			fmt.Fprintf(&b, "-- %s -> %s\n", file, f.data)
		default:
			fmt.Fprintf(&b, "-- %s: %q %t\n", file, f.data, f.executable)
		}
	}
	return b.String()
}
