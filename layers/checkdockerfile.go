package layers

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

var parseErrorPlace = regexp.MustCompile(`^(?:dockerfile )?parse error on line [0-9]+: `)

// parse reads a Dockerfile and reports what is wrong with it.
func (c *checker) parse(l Layer, id ObjectID) *stages {
	at := Position{File: l.Dockerfile, Line: 1}
	text, err := c.tree.ReadBlob(id, MaxDockerfile)
	if err != nil {
		c.faults.add(Position{File: l.Dockerfile}, "the Dockerfile cannot be read: "+err.Error(), "name another file with \"dockerfile\"")
		return nil
	}
	if syntax, _, ranges, ok := parser.DetectSyntax(text); ok && !builtinSyntax(syntax) {
		at.Line = startLine(ranges)
		c.faults.add(at, "# syntax names a frontend of its own, "+quoted(syntax)+", which is not supported", "take the line out, or use docker/dockerfile")
		return nil
	}
	st, err := parseStages(text, l.Args, c.platform)
	if err != nil {
		var where *parser.LocationError
		if errors.As(err, &where) && len(where.Locations) > 0 {
			at.Line = max(1, startLine(where.Locations[0]))
		}
		c.faults.add(at, parseErrorPlace.ReplaceAllString(err.Error(), ""), "correct the instruction that begins here")
		return nil
	}
	return st
}

// stageOrNumber finds the stage that COPY --from means; -1 for an image.
func (s *stages) stageOrNumber(from string) int {
	for i, stage := range s.list {
		if stage.Name != "" && strings.EqualFold(stage.Name, from) {
			return i
		}
	}
	if n, err := strconv.Atoi(from); err == nil && n >= 0 && n < len(s.list) {
		return n
	}
	return -1
}

// reached returns the stages that a target is made of, itself among them, in
// order.
func (s *stages) reached(target int) []int {
	seen := make([]bool, len(s.list))
	queue := []int{target}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if i < 0 || seen[i] {
			continue
		}
		seen[i] = true
		queue = append(queue, s.below(i))
		for _, from := range sources(s.list[i]) {
			queue = append(queue, s.stageOrNumber(from))
		}
	}
	var list []int
	for i := range seen {
		if seen[i] {
			list = append(list, i)
		}
	}
	return list
}

// sources are the stages and images that a stage's COPY and mounts name.
func sources(stage instructions.Stage) []string {
	var names []string
	for _, cmd := range stage.Commands {
		switch cmd := cmd.(type) {
		case *instructions.CopyCommand:
			names = append(names, cmd.From)
		case *instructions.RunCommand:
			for _, mount := range instructions.GetMounts(cmd) {
				names = append(names, mount.From)
			}
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// references are the images and stages that a target and what it is made of
// name, as written and as expanded.
func (s *stages) references(target int) []string {
	var names []string
	for _, i := range s.reached(target) {
		names = append(names, s.list[i].BaseName, s.bases[i])
		names = append(names, sources(s.list[i])...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// mounts must ask for listed secrets and ssh agents only.
func (c *checker) mounts(l Layer, st *stages, target int) {
	for _, i := range st.reached(target) {
		for _, cmd := range st.list[i].Commands {
			run, ok := cmd.(*instructions.RunCommand)
			if !ok {
				continue
			}
			at := Position{File: l.Dockerfile, Line: startLine(run.Location())}
			// Variables stay as they are: what is not known here is left to
			// the planner.
			err := run.Expand(func(word string) (string, error) { return word, nil })
			if err != nil {
				if !strings.Contains(strings.Join(run.FlagsUsed, " ")+run.String(), "$") {
					c.faults.add(at, err.Error(), "correct the --mount")
				}
				continue
			}
			for _, mount := range instructions.GetMounts(run) {
				c.mount(l, mount, at)
			}
		}
	}
}

func (c *checker) mount(l Layer, mount *instructions.Mount, at Position) {
	var id, field string
	var listed []string
	switch mount.Type {
	case instructions.MountTypeSecret:
		id, field, listed = mount.CacheID, "secrets", l.Secrets
		if mount.Source != "" {
			id = mount.Source
		}
		if id == "" {
			id = path.Base(mount.Target)
		}
	case instructions.MountTypeSSH:
		id, field, listed = mount.CacheID, "ssh", l.SSH
		if id == "" {
			id = "default"
		}
	default:
		return
	}
	if strings.Contains(id, "$") || slices.Contains(listed, id) {
		return
	}
	c.faults.add(at, fmt.Sprintf("layer %s does not list the %s id %s", quoted(string(l.Name)), mount.Type, quoted(id)),
		c.faults.didYouMean(id, listed, fmt.Sprintf("add it to the layer's %q", field)))
}
