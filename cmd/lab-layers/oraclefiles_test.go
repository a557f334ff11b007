package main

import (
	"encoding/json"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// TestOracleFiles plays the cases of testdata/oracle against BuildKit's own
// Dockerfile frontend. A case is a repository, and then states of it, one on
// top of the other: the files of state X stand under "@X/". Lines of ".do" are
// "link PATH TARGET", "write PATH TEXT", "chmod PATH", "move PATH PATH" and "rm
// PATH", with Go's quotes where a name needs them; TOOLS is an image with a
// shell. Every layer of every state is built by both. The images must have
// the same files and configuration, or both must fail, and states of one key
// must be one image. A line "differs: X LAYER: WHY" in the comment excepts one.
func TestOracleFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/oracle/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	o := newOracle(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			o.t = t
			o.play(file)
		})
	}
	o.t = t
}

func (o *oracle) play(file string) {
	o.t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	excepted := map[string]bool{}
	for line := range strings.Lines(string(archive.Comment)) {
		if rest, ok := strings.CutPrefix(line, "differs: "); ok {
			which, _, _ := strings.Cut(rest, ":")
			excepted[which] = true
		}
	}
	state := checkout{}
	names := []string{"first"}
	states := map[string]checkout{"first": state}
	for _, f := range archive.Files {
		name, inner := "first", f.Name
		if rest, ok := strings.CutPrefix(f.Name, "@"); ok {
			name, inner, _ = strings.Cut(rest, "/")
		}
		if states[name] == nil {
			state = maps.Clone(state)
			states[name], names = state, append(names, name)
		}
		text := strings.ReplaceAll(string(f.Data), "TOOLS", o.tools)
		if inner == ".do" {
			o.do(state, text)
			continue
		}
		state[inner] = checkedOut{data: text, executable: state[inner].executable}
	}
	seen := map[layers.Key]string{}
	before := map[layers.Name][2]string{}
	made := map[layers.Name]image{}
	for i, name := range names {
		for layer, got := range o.compare(states[names[max(0, i-1)]], states[name], made, name, excepted) {
			key, outcome := layers.Key(got[0]), got[1]
			if earlier, known := seen[key]; known && key != "" && earlier != outcome && !excepted[name+" "+string(layer)] {
				o.t.Errorf("%s: %s has the key of an earlier state, and is another image", name, layer)
			}
			seen[key] = outcome
			if old := before[layer]; old[0] != got[0] && old[1] == outcome {
				o.t.Logf("%s: %s is rebuilt needlessly", name, layer)
			}
			before[layer] = got
		}
	}
}

// do applies the lines of a ".do" file.
func (o *oracle) do(state checkout, script string) {
	o.t.Helper()
	for line := range strings.Lines(script) {
		var words []string
		for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
			word, _, _ := strings.Cut(rest, " ")
			if quoted, err := strconv.QuotedPrefix(rest); err == nil {
				rest = rest[len(quoted):]
				word, _ = strconv.Unquote(quoted)
			} else {
				rest = rest[len(word):]
			}
			words = append(words, word)
		}
		switch f := state[words[1]]; words[0] {
		case "link":
			state[words[1]] = checkedOut{link: true, data: words[2]}
		case "write":
			state.put(words[1], words[2])
		case "chmod":
			f.executable = !f.executable
			state[words[1]] = f
		case "move":
			delete(state, words[1])
			state[words[2]] = f
		case "rm":
			delete(state, words[1])
		default:
			o.t.Fatalf("bad line %q", line)
		}
	}
}

// compare has every layer of a state built by both, and gives its key and its
// image as BuildKit makes it.
// Layers for which no file that BuildKit sees was touched stay as they are.
func (o *oracle) compare(before, state checkout, made map[layers.Name]image, name string, excepted map[string]bool) map[layers.Name][2]string {
	o.t.Helper()
	dir, plan, cfg := o.plan(state)
	repository := o.host + "/tools"
	touched := map[layers.Name]bool{"": false}
	out := map[layers.Name][2]string{}
	for i, l := range cfg.Layers {
		planned := plan.Layers[i]
		touched[l.Name] = touched[l.Parent] || touches(before, state, l)
		if old, known := made[l.Name]; known && !touched[l.Name] {
			out[l.Name] = [2]string{string(planned.Key), old.theirs}
			continue
		}
		attrs := map[string]string{}
		if l.Target != "" {
			attrs["target"] = l.Target
		}
		for k, v := range l.Args {
			attrs["build-arg:"+k] = v
		}
		parent, theirs := made[l.Parent], "fails"
		if l.Parent == "" || parent.theirs != "fails" {
			if p := planOf(plan, l.Parent); p != nil && p.Dockerfile != l.Dockerfile {
				from := l.From
				if from == "" {
					from = string(l.Parent)
				}
				attrs["context:"+from] = "docker-image://" + repository + "@" + parent.theirs
			}
			theirs = o.solve(filepath.Join(dir, l.Context), filepath.Join(dir, filepath.Dir(l.Dockerfile)), filepath.Base(l.Dockerfile), attrs)
		}
		out[l.Name] = [2]string{string(planned.Key), theirs}
		ours, why := image{theirs: theirs}, planned.Fault
		if planned.Recipe != nil && (l.Parent == "" || parent.ours != "") {
			ref := ""
			if l.Parent != "" {
				ref = repository + "@" + parent.ours
			}
			solvable, err := planned.Recipe.Bind(o.t.Context(), ref, parent.config, "")
			if err != nil {
				o.t.Fatal(err)
			}
			built, err := o.builder.Build(o.t.Context(), pipeline.Order{Layer: l.Name, Key: planned.Key, Build: solvable, Repository: repository}, nil)
			if err == nil {
				ours.ours = string(built.Digest)
				if _, ours.config, err = o.config(repository + "@" + ours.ours); err != nil {
					o.t.Fatal(err)
				}
			} else {
				why = err.Error()
			}
		}
		made[l.Name] = ours
		if excepted[name+" "+string(l.Name)] {
			continue
		}
		if (ours.ours == "") != (theirs == "fails") {
			o.t.Errorf("%s: %s: BuildKit's own: %s, ours: %q %s\nBuildKit failed last with %v", name, l.Name, theirs, ours.ours, why, o.failure)
			continue
		}
		if testing.Verbose() {
			o.t.Logf("%s %s: %.20s %.20s %s %q", name, l.Name, ours.ours, theirs, why, planned.Notes)
		}
		if ours.ours == "" {
			continue
		}
		a, b := o.list(repository+"@"+ours.ours), o.list(repository+"@"+theirs)
		if a != b {
			o.t.Errorf("%s: %s has the files\n%s\nfrom BuildKit's own frontend\n%s", name, l.Name, without(a, b), without(b, a))
		}
		_, config, err := o.config(repository + "@" + theirs)
		if err != nil {
			o.t.Fatal(err)
		}
		if x, y := ofConfig(o.t, ours.config), ofConfig(o.t, config); !reflect.DeepEqual(x, y) {
			o.t.Errorf("%s: %s has the configuration\n%v\nfrom BuildKit's own frontend\n%v", name, l.Name, x, y)
		}
	}
	return out
}

// image is a layer as made by us and by BuildKit's own frontend.
type image struct {
	ours, theirs string
	config       []byte
}

// touches reports whether two states differ in what BuildKit is given.
func touches(before, after checkout, l layers.Layer) bool {
	of := func(state checkout) checkout {
		seen := checkout{}
		for name, f := range state {
			if name == "lab-layers.yaml" || l.Context == "." || strings.HasPrefix(name, l.Context+"/") || path.Dir(name) == path.Dir(l.Dockerfile) {
				seen[name] = f
			}
		}
		return seen
	}
	return !maps.Equal(of(before), of(after))
}

func planOf(plan *layers.Plan, name layers.Name) *layers.PlannedLayer {
	if name == "" {
		return nil
	}
	return plan.Layer(name)
}

// ofConfig is what a container sees of an image's configuration.
func ofConfig(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var image struct {
		Config map[string]any `json:"config"`
	}
	if err := json.Unmarshal(text, &image); err != nil {
		t.Fatal(err)
	}
	labels, _ := image.Config["Labels"].(map[string]any)
	for label := range labels {
		if strings.HasPrefix(label, "io.lab-layers.") || strings.Contains(label, "lab-layers") {
			delete(labels, label)
		}
	}
	if len(labels) == 0 {
		delete(image.Config, "Labels")
	}
	return image.Config
}

// without is the lines of a that b does not have.
func without(a, b string) string {
	have := map[string]bool{}
	for line := range strings.Lines(b) {
		have[line] = true
	}
	var out strings.Builder
	for line := range strings.Lines(a) {
		if !have[line] {
			out.WriteString(line)
		}
	}
	return out.String()
}
