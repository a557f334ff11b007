package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Check compares a configuration with the files of one commit: contexts,
// Dockerfiles, targets, and what the Dockerfiles ask for. It returns nil if
// every layer can be planned, as far as that can be known without the images
// from outside. A fault in a Dockerfile has its line there. The error is the
// cause with which the context ended.
func Check(ctx context.Context, tree Tree, cfg *Config) (Faults, error) {
	c := &checker{tree: tree, platform: cfg.Platform, faults: &faultList{}, files: map[string]*stages{}}
	layers := make(map[Name]Layer, len(cfg.Layers))
	for _, l := range cfg.Layers {
		layers[l.Name] = l
	}
	for _, l := range cfg.Layers {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var parent *Layer
		if p, ok := layers[l.Parent]; ok && l.Parent != "" {
			parent = &p
		}
		c.layer(l, parent)
	}
	if len(c.faults.all) == 0 {
		c.plan(ctx, cfg)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c.faults.sorted(), nil
}

// checker holds what the layers of one check share.
type checker struct {
	tree     Tree
	platform string
	faults   *faultList
	files    map[string]*stages // by content and arguments; nil for a faulty one
}

// plan reports what only shows when the layers are planned, such as a COPY of
// several files to one.
func (c *checker) plan(ctx context.Context, cfg *Config) {
	plan, err := NewPlanner(Unresolved, Settings{}).Plan(ctx, c.tree, cfg)
	if err != nil {
		c.faults.add(Position{File: ConfigFile}, err.Error(), "check the repository with \"git fsck\"")
		return
	}
	for i, l := range plan.Layers {
		if l.Fault == "" || l.Parent != nil && plan.Layer(*l.Parent).Fault != "" {
			continue // a child cannot be planned without its parent
		}
		at, problem := cfg.Layers[i].Position, l.Fault
		if m := faultPlace.FindStringSubmatch(problem); m != nil && m[1] == l.Dockerfile {
			line, _ := strconv.Atoi(m[2]) // 0 is unknown
			at, problem = Position{File: l.Dockerfile, Line: line}, m[3]
		}
		c.faults.add(at, problem, "correct it, or the layer cannot be built")
	}
}

var faultPlace = regexp.MustCompile(`(?s)^(.+?): line ([0-9]+): (.*)$`)

// place is where the configuration gives a field, or else the layer.
func (l Layer) place(field Position) Position {
	if field.known() {
		return field
	}
	return l.Position
}

func (c *checker) layer(l Layer, parent *Layer) {
	if !c.context(l) && l.Dockerfile == path.Join(l.Context, "Dockerfile") {
		return // one fault, not two
	}
	st := c.dockerfile(l)
	if st == nil {
		return
	}
	target := st.find(l.Target)
	if target < 0 {
		var names []string
		for _, stage := range st.list {
			if stage.Name != "" {
				names = append(names, stage.Name)
			}
		}
		c.faults.add(l.place(l.at.Target), fmt.Sprintf("%s has no stage %s", l.Dockerfile, quoted(l.Target)),
			c.faults.didYouMean(l.Target, names, stageRemedy(names)))
		return
	}
	if parent != nil {
		c.parent(l, *parent, st, target)
	}
	c.mounts(l, st, target)
}

func stageRemedy(names []string) string {
	if len(names) == 0 {
		return "it names none: take \"target\" out, or add AS to a FROM line"
	}
	if len(names) > 10 {
		names = append(names[:10:10], "…")
	}
	return "there are " + strings.Join(names, ", ")
}

// context must be a directory.
func (c *checker) context(l Layer) bool {
	entry, err := c.tree.follow(l.Context)
	problem := "context " + quoted(l.Context)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		otherwise := "name the directory with \"context\", relative to the repository's root"
		dir, base := path.Split(l.Context)
		remedy := c.faults.didYouMean(base, c.names(dir), otherwise)
		if remedy != otherwise && dir != "" {
			remedy += " (in " + quoted(path.Clean(dir)) + ")"
		}
		c.faults.add(l.place(l.at.Context), problem+" is not there", remedy)
	case err != nil:
		c.faults.add(l.place(l.at.Context), problem+" cannot be read: "+err.Error(), "name a directory of the repository")
	case !entry.IsDir():
		c.faults.add(l.place(l.at.Context), problem+" is not a directory", "name a directory; \"dockerfile\" names a file")
	default:
		return true
	}
	return false
}

// names lists a directory; nothing for one that is not there.
func (c *checker) names(dir string) []string {
	entry, err := c.tree.follow(dir)
	if err != nil || !entry.IsDir() {
		return nil
	}
	entries, err := c.tree.Tree(entry.ID)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names
}

// dockerfile finds and parses a layer's Dockerfile; nil if it has a fault.
func (c *checker) dockerfile(l Layer) *stages {
	entry, err := c.tree.dockerfile(l.Dockerfile)
	if err != nil {
		at := l.place(l.at.Dockerfile)
		if !l.at.Dockerfile.known() {
			at = l.place(l.at.Context)
		}
		if errors.Is(err, fs.ErrNotExist) {
			c.faults.add(at, fmt.Sprintf("Dockerfile %s is not there", quoted(l.Dockerfile)), c.findDockerfile(l))
		} else {
			c.faults.add(at, fmt.Sprintf("Dockerfile %s: %s", quoted(l.Dockerfile), err), "name a Dockerfile of the repository")
		}
		return nil
	}
	// fmt prints maps in the order of their keys.
	id := fmt.Sprint(l.Dockerfile, "\x00", string(entry.ID), "\x00", l.Args)
	st, known := c.files[id]
	if !known {
		st = c.parse(l, entry.ID)
		c.files[id] = st
	}
	return st
}

// findDockerfile is what to do about a missing Dockerfile.
func (c *checker) findDockerfile(l Layer) string {
	if inContext := path.Join(l.Context, l.Dockerfile); l.at.Dockerfile.known() {
		if _, err := c.tree.follow(inContext); err == nil {
			return "paths begin at the repository's root: did you mean " + quoted(inContext) + "?"
		}
	}
	dir, base := path.Split(l.Dockerfile)
	var others []string
	for _, name := range c.names(dir) {
		if lower := strings.ToLower(name); strings.Contains(lower, "dockerfile") || strings.Contains(lower, "containerfile") {
			others = append(others, path.Join(dir, name))
		}
	}
	if len(others) == 1 && !strings.HasSuffix(others[0], ".dockerignore") {
		return "did you mean " + quoted(others[0]) + "?"
	}
	return c.faults.didYouMean(path.Join(dir, base), others, "name it with \"dockerfile\", relative to the repository's root")
}

// parent must have an image to stand in for.
func (c *checker) parent(l, parent Layer, st *stages, target int) {
	if l.From == "" {
		if _, _, err := st.replaced(target, "", parent.Target, parent.Dockerfile == l.Dockerfile); err != nil {
			c.faults.add(l.place(l.at.Parent), fmt.Sprintf("the target in %s stands on scratch, so it does not use its parent", l.Dockerfile),
				"name the reference that the parent stands in for with \"from\", or take \"parent\" out")
		}
		return
	}
	names := st.references(target)
	for _, name := range names {
		if name == l.From || sameImage(name, l.From) {
			return
		}
	}
	if j := st.find(l.From); j >= 0 && j != target && st.list[j].Name != "" {
		return
	}
	c.faults.add(l.place(l.at.From), fmt.Sprintf("%s has no FROM, COPY --from or mount of %s", l.Dockerfile, quoted(l.From)),
		c.faults.didYouMean(l.From, names, "write it as it stands there, or as it expands"))
}
