package scaffold

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

// isBake takes the files of docker buildx bake, in JSON and in HCL.
func isBake(name string) bool {
	return strings.Contains(name, "bake") && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".hcl"))
}

type bakeFile struct {
	Target map[string]bakeTarget
}

// bakeTarget is what matters of a target.
type bakeTarget struct {
	Context    string
	Dockerfile string
	Target     string
	Args       map[string]*string
	Tags       []string
	Contexts   map[string]string
	Inherits   []string
}

// readBake reads the targets of a bake file. One that others inherit from and
// that has no tags of its own is no image.
func (r *repository) readBake(file string, text []byte) []build {
	doc := bakeFile{}
	if strings.HasSuffix(file, ".hcl") {
		doc.Target = readBakeHCL(text)
	} else if json.Unmarshal(text, &doc) != nil {
		return nil
	}
	if len(doc.Target) > maxTargets {
		return nil
	}
	inherited, whole := map[string]bool{}, map[string]bakeTarget{}
	for _, target := range doc.Target {
		for _, from := range target.Inherits {
			inherited[from] = true
		}
	}
	var builds []build
	for _, name := range sortedKeys(doc.Target) {
		target := doc.inherit(name, whole)
		if inherited[name] && len(doc.Target[name].Tags) == 0 {
			continue
		}
		if b, ok := r.baked(file, name, target); ok {
			builds = append(builds, b)
		}
	}
	return builds
}

// maxTargets of a bake file.
const maxTargets = 1_000

// inherit returns a target with what it lacks taken from those that it
// inherits from, the last of them first. Whole are those that are known.
func (f bakeFile) inherit(name string, whole map[string]bakeTarget) bakeTarget {
	if known, ok := whole[name]; ok {
		return known
	}
	own := f.Target[name]
	whole[name] = own // for one that inherits from itself
	var all bakeTarget
	for _, from := range own.Inherits {
		all = all.under(f.inherit(from, whole))
	}
	whole[name] = all.under(own)
	return whole[name]
}

// under lays what another target says over what this one says.
func (t bakeTarget) under(over bakeTarget) bakeTarget {
	over.Context = cmp.Or(over.Context, t.Context)
	over.Dockerfile = cmp.Or(over.Dockerfile, t.Dockerfile)
	over.Target = cmp.Or(over.Target, t.Target)
	over.Args = laid(t.Args, over.Args)
	over.Contexts = laid(t.Contexts, over.Contexts)
	if len(over.Tags) == 0 {
		over.Tags = t.Tags
	}
	return over
}

func laid[V any](under, over map[string]V) map[string]V {
	all := map[string]V{}
	maps.Copy(all, under)
	maps.Copy(all, over)
	return all
}

// baked is the build of one target. Paths in a bake file count from where the
// command runs: the file's own directory if its Dockerfile is there, or else
// the root.
func (r *repository) baked(file, name string, target bakeTarget) (build, bool) {
	if strings.Contains(target.Context, ":") {
		return build{}, false
	}
	for _, dir := range []string{path.Dir(file), "."} {
		b := build{source: file, context: repositoryPath(dir, target.Context), target: target.Target, args: map[string]string{}}
		b.dockerfile = repositoryPath(b.context, cmp.Or(target.Dockerfile, "Dockerfile"))
		if strings.Contains(b.context+b.dockerfile+b.target, unknown) || !r.hasFile(b.dockerfile) {
			continue
		}
		for _, tag := range target.Tags {
			if known := cmp.Or(knownReference(tag), lastPart(tag)); known != "" {
				b.names = append(b.names, known)
			}
		}
		b.names = append(b.names, name)
		for arg, value := range target.Args {
			switch {
			case value == nil || strings.Contains(*value, "$"):
			case strings.Contains(*value, unknown):
				b.give(arg, *value)
			default:
				b.args[arg] = *value
			}
		}
		b.targets = map[string]string{}
		for from, context := range target.Contexts {
			if on, ok := strings.CutPrefix(context, "target:"); ok && !strings.Contains(on, unknown) {
				b.targets[from] = on
			}
		}
		return b, true
	}
	return build{}, false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
