package layers

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

const (
	saltThen = "2026-11-22T03:00:00Z"
	saltNow  = "2026-11-29T03:00:00Z"
)

func saltedLab(objects *memory, changed string) map[string]Entry {
	tree := map[string]Entry{}
	for name, text := range map[string]string{
		ConfigFile:        "version: 1\nlayers:\n  - {name: base, kind: base}\n  - {name: top, kind: experiment, parent: base}\n",
		"base/Dockerfile": "FROM debian:12\nCOPY a /a\nRUN apt-get update\n",
		"base/a":          "a",
		"top/Dockerfile":  "FROM base\nRUN pip install x\nCOPY b /b\n",
		"top/b":           "b",
	} {
		if name == changed {
			text += "#"
		}
		tree[name] = Entry{Mode: ModeFile, ID: objects.blob(text)}
	}
	return tree
}

// TestSaltInKeys lets one planner see the salt change: what it remembers is never
// taken for that of another salt, and no salt gives the keys of a planner without.
func TestSaltInKeys(t *testing.T) {
	objects := newMemory()
	files := saltedLab(objects, "")
	keys := func(p *Planner) (keys []Key) {
		for _, layer := range planTree(t, p, objects, files).Layers {
			keys = append(keys, layer.Key)
		}
		return keys
	}
	salt := ""
	p := NewPlanner(nil, Settings{Salt: func() string { return salt }})
	none := keys(p)
	if !slices.Equal(none, keys(NewPlanner(nil, Settings{}))) {
		t.Error("an empty salt is in the keys")
	}
	seen := map[Key]bool{none[0]: true, none[1]: true}
	for _, salt = range []string{saltThen, saltNow} {
		now := keys(p)
		if seen[now[0]] || seen[now[1]] {
			t.Errorf("%s: the keys are those of another salt", salt)
		}
		seen[now[0]], seen[now[1]] = true, true
		if !slices.Equal(now, keys(p)) {
			t.Errorf("%s: the keys do not hold", salt)
		}
	}
	salt = ""
	if !slices.Equal(none, keys(p)) {
		t.Error("without a salt the keys are not those of before")
	}
}

func TestSaltReasons(t *testing.T) {
	const anew = "schedule it is built anew as scheduled, since " + saltNow
	for _, c := range []struct {
		name, was, recorded, is, changed string
		settings                         Settings // of the time before
		want                             string
	}{
		{"another salt", saltThen, saltThen, saltNow, "", Settings{}, "base: " + anew + " | 3; top: " + anew + " | 1"},
		{"the first salt", "", "", saltNow, "", Settings{}, "base: " + anew + " | 3; top: " + anew + " | 1"},
		{"the same", saltNow, saltNow, saltNow, "", Settings{}, ""},
		{"a file below, too", saltThen, saltThen, saltNow, "base/a", Settings{}, "base: path base/a, " + anew + " | 2; top: parent, " + anew + " | 1"},
		{"a file above, too", saltThen, saltThen, saltNow, "top/b", Settings{}, "base: " + anew + " | 3; top: path top/b, " + anew + " | 1"},
		{"other settings, the same salt", saltNow, saltNow, saltNow, "", Settings{Compression: "gzip"}, "top: parent | 1"},
		{"no salt any more", saltThen, saltThen, "", "", Settings{}, "top: parent | 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := newMemory()
			before := c.settings
			before.Salt = func() string { return c.was }
			recorded := map[Name]Recorded{}
			for _, layer := range planTree(t, NewPlanner(nil, before), objects, saltedLab(objects, "")).Layers {
				recorded[layer.Name] = Recorded{Key: layer.Key, Outside: layer.Outside(), Salt: c.recorded}
			}
			p := NewPlanner(nil, Settings{Salt: func() string { return c.is }})
			plan := planTree(t, p, objects, saltedLab(objects, c.changed))
			tree := objects.tree(saltedLab(objects, ""))
			cfg, err := p.Config(tree)
			if err != nil {
				t.Fatal(err)
			}
			from, err := p.PlanBefore(t.Context(), tree, cfg, plan)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.CompareRecorded(t.Context(), recorded, from, plan); err != nil {
				t.Fatal(err)
			}
			if got := told(plan); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestSaltedDefinition looks at what BuildKit is given: each RUN says the salt, in
// codes that no process ends with, and all still hangs together.
func TestSaltedDefinition(t *testing.T) {
	o := newMemory()
	layer := oneLayer(t, map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob("FROM debian AS tools\nRUN make\nFROM debian\nCOPY --from=tools /x /x\nRUN --network=none run\nCOPY . /\n")}}, o)
	bind := func(salt string) *Solvable {
		layer.Recipe.salt = salt
		s, err := layer.Recipe.Bind(t.Context(), "", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain, salted := bind(""), bind(saltNow)
	if string(plain.Image) != string(salted.Image) || len(plain.Definition.Def) != len(salted.Definition.Def) {
		t.Error("the salt changes more than the cache keys")
	}
	had, runs := map[string]bool{}, 0
	for _, data := range salted.Definition.Def {
		var vertex pb.Op
		if err := vertex.UnmarshalVT(data); err != nil {
			t.Fatal(err)
		}
		for _, in := range vertex.Inputs {
			if !had[in.Digest] {
				t.Errorf("an input %s is not there", in.Digest)
			}
		}
		id := digest.FromBytes(data)
		had[id.String()] = true
		if exec := vertex.GetExec(); exec != nil {
			runs++
			codes := exec.Meta.ValidExitCodes
			if len(codes) != 3 || codes[0] != 0 || codes[1] < 256 || codes[2] < 256 {
				t.Errorf("exit codes %v", codes)
			}
			if !salted.Definition.Metadata[id].Caps[pb.CapExecValidExitCode] {
				t.Error("BuildKit need not know exit codes")
			}
		}
	}
	if runs != 2 {
		t.Errorf("%d RUN", runs)
	}
	for id := range salted.Definition.Metadata {
		if !had[id.String()] {
			t.Errorf("metadata of %s, which is not there", id)
		}
	}
	if n := len(salted.Definition.Source.Locations); n == 0 || n != len(plain.Definition.Source.Locations) {
		t.Errorf("%d places in the Dockerfile", n)
	}
	for id := range salted.Definition.Source.Locations {
		if !had[id] {
			t.Errorf("a place of %q, which is not there", id)
		}
	}
	if a, b := strings.Join(definition(bind(saltNow)), ""), strings.Join(definition(salted), ""); a != b {
		t.Error("the same salt gives another definition")
	}
	if slices.Equal(definition(bind(saltThen)), definition(salted)) {
		t.Error("another salt gives the same definition")
	}
}

func definition(s *Solvable) (ops []string) {
	for _, data := range s.Definition.Def {
		ops = append(ops, string(data))
	}
	return ops
}
