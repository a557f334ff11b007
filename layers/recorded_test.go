package layers

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCompareRecorded tells a plan against what was recorded of the one before,
// while images outside move.
func TestCompareRecorded(t *testing.T) {
	objects := newMemory()
	files := func(changed string) map[string]Entry {
		tree := map[string]Entry{}
		for name, text := range map[string]string{
			ConfigFile:        "version: 1\nlayers:\n  - {name: base, kind: base}\n  - {name: top, kind: experiment, parent: base}\n  - {name: side, kind: experiment}\n",
			"base/Dockerfile": "FROM tools AS tools\nFROM debian:12\nCOPY --from=tools /t /t\nCOPY a /a\n",
			"base/a":          "a",
			"top/Dockerfile":  "FROM base\nCOPY b /b\n",
			"top/b":           "b",
			"side/Dockerfile": "FROM alpine\nCOPY c /c\n",
			"side/c":          "c",
		} {
			if name == changed {
				text += "RUN true\n"
			}
			tree[name] = Entry{Mode: ModeFile, ID: objects.blob(text)}
		}
		return tree
	}
	at := func(version int) digest.Digest { return digest.FromString(fmt.Sprint(version)) }
	versions := map[string]int{}
	var asked atomic.Int32 // BuildKit asks side by side
	planner := NewPlanner(func(_ context.Context, ref, platform string) (OutsideImage, bool, error) {
		asked.Add(1)
		return OutsideImage{Digest: at(versions[ref]), Config: unknownConfig(platform)}, true, nil
	}, Settings{})
	const debian, tools = "docker.io/library/debian:12", "docker.io/library/tools:latest"
	moved := fmt.Sprintf(": %.19s → %.19s", at(0), at(1))
	for _, c := range []struct {
		name    string
		moved   string
		changed string
		want    string
	}{
		{"nothing", "", "", ""},
		{"the base image", debian, "", "base: base-image " + debian + moved + " | 2; top: parent | 1"},
		{"an image of a stage", tools, "", "base: base-image " + tools + moved + " | 1; top: parent | 1"},
		{"both an image and a file", debian, "base/a", "base: base-image " + debian + moved + ", path base/a | 2; top: parent | 1"},
		{"both an image and a Dockerfile", debian, "base/Dockerfile", "base: base-image " + debian + moved + ", dockerfile line 5 is new | 2; top: parent | 1"},
		{"an image and a file above", debian, "top/b", "base: base-image " + debian + moved + " | 2; top: parent, path top/b | 1"},
	} {
		clear(versions)
		was := planTree(t, planner, objects, files(""))
		recorded := map[Name]Recorded{}
		for _, layer := range was.Layers {
			recorded[layer.Name] = Recorded{Key: layer.Key, Outside: layer.Outside()}
		}
		versions[c.moved] = 1
		plan := planTree(t, planner, objects, files(c.changed))
		tree := objects.tree(files(""))
		cfg, err := planner.Config(tree)
		if err != nil {
			t.Fatal(err)
		}
		asked.Store(0)
		before, err := planner.PlanBefore(t.Context(), tree, cfg, plan)
		if err != nil || asked.Load() > 0 {
			t.Fatalf("%s: %v; asked %d times", c.name, err, asked.Load())
		}
		if err := planner.CompareRecorded(t.Context(), recorded, before, plan); err != nil {
			t.Fatal(err)
		}
		if got := told(plan); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		for _, layer := range plan.Layers {
			if layer.PreviousKey != recorded[layer.Name].Key {
				t.Errorf("%s: %s had the key %s, not %s", c.name, layer.Name, recorded[layer.Name].Key, layer.PreviousKey)
			}
		}
		// What stood before must plan as it did: telling leaves nothing behind.
		clear(versions)
		if again := planTree(t, planner, objects, files("")); again.Layers[0].Key != was.Layers[0].Key {
			t.Errorf("%s: the plan before is another now", c.name)
		}
	}
}

// told is the reasons of a plan, and the line from which each layer is rebuilt.
func told(p *Plan) string {
	var all []string
	for _, l := range p.Layers {
		var reasons []string
		for _, r := range l.Reasons {
			text := string(r.Kind)
			switch r.Kind {
			case ReasonBaseImage, ReasonSchedule:
				text += " " + r.Detail
			case ReasonPath, ReasonDockerfile:
				detail, _, _ := strings.Cut(r.Detail, ":")
				text += " " + detail
			}
			reasons = append(reasons, text)
		}
		if l.RebuildFrom != nil {
			reasons[len(reasons)-1] += fmt.Sprintf(" | %d", l.RebuildFrom.Line)
		}
		if len(reasons) > 0 {
			all = append(all, string(l.Name)+": "+strings.Join(reasons, ", "))
		}
	}
	return strings.Join(all, "; ")
}
