package scaffold

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

// isBake takes the files of docker buildx bake in their JSON form.
func isBake(name string) bool {
	return strings.HasSuffix(name, ".json") && strings.Contains(name, "bake")
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
}

// readBake reads the targets of a bake file.
func (r *repository) readBake(file string, text []byte) []build {
	var doc bakeFile
	if json.Unmarshal(text, &doc) != nil {
		return nil
	}
	var builds []build
	for _, name := range sortedKeys(doc.Target) {
		if b, ok := r.baked(file, name, doc.Target[name]); ok {
			builds = append(builds, b)
		}
	}
	return builds
}

// baked is the build of one target. Paths in a bake file count from where the
// command runs: the file's own directory if its Dockerfile is there, or else
// the root.
func (r *repository) baked(file, name string, target bakeTarget) (build, bool) {
	if target.Dockerfile == "" || strings.Contains(target.Context, ":") {
		return build{}, false
	}
	for _, dir := range []string{path.Dir(file), "."} {
		b := build{source: file, context: repositoryPath(dir, target.Context), target: target.Target, args: map[string]string{}}
		b.dockerfile = repositoryPath(b.context, target.Dockerfile)
		if strings.Contains(b.context+b.dockerfile, unknown) || !r.hasFile(b.dockerfile) {
			continue
		}
		b.names = append(slices.Clone(target.Tags), name)
		for arg, value := range target.Args {
			if value != nil && !strings.Contains(*value, "$") {
				b.args[arg] = *value
			}
		}
		return b, true
	}
	return build{}, false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
