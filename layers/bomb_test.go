package layers

import (
	"fmt"
	"strings"
	"testing"
)

// TestTreeBomb holds that trees which hold each other, a billion files in a few
// kilobytes, fail the layer, also if the ignore file leaves none of them.
func TestTreeBomb(t *testing.T) {
	o := newMemory()
	entries := func(mode Mode, id ObjectID) ObjectID {
		var all []Entry
		for i := range 1000 {
			all = append(all, Entry{Name: fmt.Sprintf("e%03d", i), Mode: mode, ID: id})
		}
		own := gitID("tree", string(id))
		o.trees[own] = all
		return own
	}
	bomb := entries(ModeDir, entries(ModeDir, entries(ModeFile, o.blob("x"))))
	dir := gitID("tree", "a")
	o.trees[dir] = []Entry{
		{Name: ".dockerignore", Mode: ModeFile, ID: o.blob("*\n!**/none\n")},
		{Name: "Dockerfile", Mode: ModeFile, ID: o.blob("FROM scratch\nCOPY . /\n")},
		{Name: "z", Mode: ModeDir, ID: bomb},
	}
	top := gitID("tree", "top")
	o.trees[top] = []Entry{{Name: "a", Mode: ModeDir, ID: dir}}
	cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
	plan, err := NewPlanner(nil, Settings{}).Plan(t.Context(), Tree{Objects: o, Root: top}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if fault := plan.Layers[0].Fault; !strings.Contains(fault, "those that are ignored included") {
		t.Errorf("fault %q", fault)
	}
}
