package layers

import (
	"context"
	"encoding/json"
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/tools/txtar"
)

var updatePlans = goflag.Bool("update-plans", false, "write the plans that the cases expect")

// TestPlanCases plays the cases of testdata/plan. A case is a repository, and
// then commits on top of it, one after the other: the files of commit X stand
// under "@X/". Lines of "@X/.git-do" are "rm PATH", "chmod PATH", "link PATH
// TARGET", "move PATH PATH" and "submodule PATH". What the plan of X must say
// against the commit before stands under "want/X".
func TestPlanCases(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			playCase(t, file)
		})
	}
}

func playCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects := newMemory()
	tree := map[string]Entry{}
	var commits []string
	changes := map[string][]txtar.File{}
	want := map[string]string{}
	var kept []txtar.File
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "want/"); ok {
			want[name] = string(f.Data)
			continue
		}
		kept = append(kept, f)
		if rest, ok := strings.CutPrefix(f.Name, "@"); ok {
			name, inner, _ := strings.Cut(rest, "/")
			if changes[name] == nil {
				commits = append(commits, name)
			}
			changes[name] = append(changes[name], txtar.File{Name: inner, Data: f.Data})
			continue
		}
		tree[f.Name] = Entry{Mode: ModeFile, ID: objects.blob(string(f.Data))}
	}
	planner := NewPlanner(outsideOf(tree, objects), Settings{Reproducible: true, Compression: "zstd"})
	before := planTree(t, planner, objects, tree)
	var got []txtar.File
	for _, name := range commits {
		for _, f := range changes[name] {
			if f.Name == ".git-do" {
				gitDo(t, objects, tree, string(f.Data))
				continue
			}
			mode := ModeFile
			if old, ok := tree[f.Name]; ok {
				mode = old.Mode
			}
			tree[f.Name] = Entry{Mode: mode, ID: objects.blob(string(f.Data))}
		}
		after := planTree(t, planner, objects, tree)
		cold := planTree(t, NewPlanner(outsideOf(tree, objects), Settings{Reproducible: true, Compression: "zstd"}), objects, tree)
		for i := range after.Layers {
			if after.Layers[i].Key != cold.Layers[i].Key {
				t.Errorf("%s: %s has another key when planned with a warm planner", name, after.Layers[i].Name)
			}
		}
		if err := planner.Compare(context.Background(), before, after); err != nil {
			t.Fatal(err)
		}
		have := map[Key]bool{}
		for _, layer := range before.Layers {
			have[layer.Key] = true
		}
		after.Decide(func(k Key) bool { return have[k] })
		text := describe(after)
		got = append(got, txtar.File{Name: "want/" + name, Data: []byte(text)})
		if !*updatePlans && text != want[name] {
			t.Errorf("plan of %s:\n%s\nwant:\n%s", name, text, want[name])
		}
		before = after
	}
	if *updatePlans {
		archive.Files = append(kept, got...)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func planTree(t *testing.T, p *Planner, objects *memory, files map[string]Entry) *Plan {
	t.Helper()
	tree := objects.tree(files)
	data, err := tree.ReadFile(ConfigFile, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(ConfigFile, data)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := p.Plan(context.Background(), tree, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// outsideOf answers from files "outside/NAME.json" of a case, a map of
// references to image configurations.
func outsideOf(tree map[string]Entry, objects *memory) Outside {
	images := map[string]json.RawMessage{}
	if e, ok := tree["outside.json"]; ok {
		if err := json.Unmarshal(objects.blobs[e.ID], &images); err != nil {
			panic(err)
		}
	}
	return func(_ context.Context, ref, _ string) (OutsideImage, bool, error) {
		config, ok := images[ref]
		if !ok {
			return OutsideImage{}, false, nil
		}
		h := newHash("image")
		h.text(string(config))
		return OutsideImage{Digest: digest.Digest(h.key()), Config: config}, true, nil
	}
}

func gitDo(t *testing.T, objects *memory, tree map[string]Entry, script string) {
	t.Helper()
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) < 2 {
			t.Fatalf("bad line %q", line)
		}
		e := tree[words[1]]
		switch words[0] {
		case "rm":
			delete(tree, words[1])
			continue
		case "chmod":
			e.Mode = ModeExecutable
		case "link":
			e = Entry{Mode: ModeSymlink, ID: objects.blob(words[2])}
		case "submodule":
			e = Entry{Mode: ModeSubmodule, ID: gitID("commit", words[1])}
		case "move":
			delete(tree, words[1])
			words[1] = words[2]
		default:
			t.Fatalf("bad line %q", line)
		}
		tree[words[1]] = e
	}
}

// describe is a plan as the cases write it.
func describe(p *Plan) string {
	var b strings.Builder
	for _, l := range p.Layers {
		fmt.Fprintf(&b, "%s %s\n", l.Name, l.Step)
		if l.Fault != "" {
			fmt.Fprintf(&b, "  fault: %s\n", l.Fault)
		}
		for _, r := range l.Reasons {
			fmt.Fprintf(&b, "  %s: %s\n", r.Kind, r.Detail)
		}
		if l.RebuildFrom != nil {
			fmt.Fprintf(&b, "  from %s:%d: %s\n", l.RebuildFrom.File, l.RebuildFrom.Line, l.RebuildFrom.Text)
		}
		for _, note := range l.Notes {
			fmt.Fprintf(&b, "  note: %s\n", note)
		}
	}
	return b.String()
}
