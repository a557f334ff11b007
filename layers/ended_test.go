package layers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ending is objects during whose reading the context ends.
type ending struct {
	*memory
	end  context.CancelCauseFunc
	left int // readings of a tree until then
	late int // and after it
}

func (e *ending) Tree(id ObjectID) ([]Entry, error) {
	if e.left--; e.left == 0 {
		e.end(errEnded)
	}
	if e.left < 0 {
		e.late++
	}
	return e.memory.Tree(id)
}

var errEnded = errors.New("nobody waits any more")

// TestPlanEnds holds that planning ends soon after its context does, with the
// cause and no fault of a layer: in a walk, and while fsutil follows the paths
// of a thousand COPY instructions before it.
func TestPlanEnds(t *testing.T) {
	var follow strings.Builder
	follow.WriteString("FROM scratch\nCOPY")
	for i := range 1000 {
		fmt.Fprintf(&follow, " d%d/*/x", i)
	}
	follow.WriteString(" /\n")
	for name, text := range map[string]string{"walk": "FROM scratch\nCOPY . /\n", "follow": follow.String()} {
		o := newMemory()
		files := map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: o.blob(text)}}
		for i := range 1000 {
			files[fmt.Sprintf("a/d%d/e/x", i)] = Entry{Mode: ModeFile, ID: o.blob("x")}
		}
		tree := o.tree(files)
		ctx, end := context.WithCancelCause(t.Context())
		objects := &ending{memory: o, end: end, left: 100}
		cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
		plan, err := NewPlanner(nil, Settings{}).Plan(ctx, Tree{Objects: objects, Root: tree.Root}, cfg)
		if !errors.Is(err, errEnded) {
			t.Errorf("%s: %v, plan %v", name, err, plan)
		}
		if objects.late > 10 {
			t.Errorf("%s: %d trees were read afterwards", name, objects.late)
		}
		if faults, err := Check(ctx, tree, cfg); !errors.Is(err, errEnded) {
			t.Errorf("%s: check: %v, %v", name, faults, err)
		}
	}
}

// TestSelectionEnds holds the same of the loops over files that were read.
func TestSelectionEnds(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	set := &fileset{files: []file{{path: "x"}}}
	in := &inputs{graph: &graph{ops: []op{{reads: []selection{{whole: true}}}}}}
	if files, err := (selection{source: "x"}).of(ctx, set); len(files) != 1 || err != nil {
		t.Errorf("before: %v, %v", files, err)
	}
	end(errEnded)
	if _, err := (selection{source: "x"}).of(ctx, set); !errors.Is(err, errEnded) {
		t.Errorf("of: %v", err)
	}
	if _, err := in.reached(ctx, set); !errors.Is(err, errEnded) {
		t.Errorf("reached: %v", err)
	}
	if _, err := in.graph.sums(ctx, set, "", false); !errors.Is(err, errEnded) {
		t.Errorf("sums: %v", err)
	}
}
