package scaffold

import (
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"gopkg.in/yaml.v3"
)

// isCompose goes by a file's name; those for development and tests say nothing
// about the lab.
func isCompose(name string) bool {
	if !strings.HasSuffix(name, ".yml") && !strings.HasSuffix(name, ".yaml") {
		return false
	}
	for _, word := range []string{"dev", "test", "override", "ci"} {
		if strings.Contains(name, "."+word+".") || strings.Contains(name, "-"+word+".") {
			return false
		}
	}
	return strings.HasPrefix(name, "docker-compose") || strings.HasPrefix(name, "compose.")
}

// composeFile is what matters of a compose file (compose-spec, build.md).
type composeFile struct {
	Services map[string]struct {
		Image string
		Build yaml.Node
	}
}

type composeBuild struct {
	Context    string
	Dockerfile string
	Target     string
	Args       yaml.Node
}

func (r *repository) readCompose(file string, text []byte) []build {
	var doc composeFile
	if yaml.Unmarshal(text, &doc) != nil {
		return nil
	}
	var builds []build
	for _, name := range sortedKeys(doc.Services) {
		service := doc.Services[name]
		var said composeBuild
		switch {
		case service.Build.Kind == yaml.ScalarNode:
			said.Context = service.Build.Value
		case service.Build.Kind == yaml.MappingNode:
			if service.Build.Decode(&said) != nil {
				continue
			}
		default:
			continue
		}
		if b, ok := r.composed(file, name, service.Image, said); ok {
			builds = append(builds, b)
		}
	}
	return builds
}

func (r *repository) composed(file, service, image string, said composeBuild) (build, bool) {
	dir, ok := interpolate(orDot(said.Context))
	if !ok || strings.Contains(dir, "://") || path.IsAbs(dir) {
		return build{}, false
	}
	b := build{source: file, context: path.Join(path.Dir(file), dir), names: []string{service}}
	if strings.HasPrefix(b.context, "..") {
		return build{}, false
	}
	if b.dockerfile, ok = interpolate(said.Dockerfile); !ok {
		return build{}, false
	}
	if b.dockerfile == "" {
		b.dockerfile = "Dockerfile"
	}
	b.dockerfile = path.Join(b.context, b.dockerfile)
	if b.target, ok = interpolate(said.Target); !ok {
		return build{}, false
	}
	if name, ok := interpolate(image); ok && name != "" {
		b.names = []string{name, service}
	}
	b.args = composeArgs(said.Args)
	return b, true
}

func orDot(s string) string {
	if s == "" {
		return "."
	}
	return s
}

// composeArgs reads both forms, a map and a list of NAME=VALUE. Arguments
// that come from the environment are not kept.
func composeArgs(node yaml.Node) map[string]string {
	args := map[string]string{}
	add := func(name, value string) {
		if value, ok := interpolate(value); ok {
			args[name] = value
		}
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if value := node.Content[i+1]; value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
				add(node.Content[i].Value, value.Value)
			}
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			if name, value, ok := strings.Cut(item.Value, "="); ok {
				add(name, value)
			}
		}
	}
	return args
}

// interpolate fills in ${NAME:-default} of a compose file; ok is false where
// the environment has the word.
func interpolate(text string) (string, bool) {
	if !strings.Contains(text, "$") {
		return text, true
	}
	s := scope{shell.NewLex('\\'), nil}
	value, unset, ok := s.expand(text)
	if !ok || value == "" {
		return "", false
	}
	for _, name := range unset {
		if !strings.Contains(text, "${"+name+":-") && !strings.Contains(text, "${"+name+"-") {
			return "", false
		}
	}
	return value, true
}
