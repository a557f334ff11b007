package scaffold

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

// isBake takes the JSON form of docker buildx bake's files.
func isBake(name string) bool {
	return strings.HasSuffix(name, ".json") && strings.Contains(name, "bake")
}

type bakeFile struct {
	Target map[string]struct {
		Context    string
		Dockerfile string
		Target     string
		Args       map[string]*string
		Tags       []string
	}
}

// readBake reads targets. Paths in a bake file count from where the command
// runs, which is taken to be the root.
func (r *repository) readBake(file string, text []byte) []build {
	var doc bakeFile
	if json.Unmarshal(text, &doc) != nil {
		return nil
	}
	var builds []build
	for _, name := range sortedKeys(doc.Target) {
		target := doc.Target[name]
		dir := path.Clean(orDot(target.Context))
		if target.Dockerfile == "" || strings.Contains(dir, ":") || strings.HasPrefix(dir, "..") || path.IsAbs(dir) {
			continue
		}
		b := build{source: file, context: dir, dockerfile: path.Join(dir, target.Dockerfile), target: target.Target, args: map[string]string{}}
		b.names = append(slices.Clone(target.Tags), name)
		for arg, value := range target.Args {
			if value != nil && !strings.Contains(*value, "$") {
				b.args[arg] = *value
			}
		}
		builds = append(builds, b)
	}
	return builds
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
