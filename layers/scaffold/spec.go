package scaffold

import (
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// isSpec takes the names under which repositories list their images.
func isSpec(name string) bool {
	return slices.Contains([]string{"spec.yml", "spec.yaml", "images.yml", "images.yaml", "stacks.yml", "stacks.yaml"}, name)
}

// specFile is a list of images by the names of their directories, with what
// each depends on.
type specFile struct {
	Images map[string]struct {
		ImageName string `yaml:"image_name"`
		DependOn  string `yaml:"depend_on"`
		DependsOn string `yaml:"depends_on"`
		Parent    string `yaml:"parent"`
		// Values as they are written: 3.10 is not 3.1.
		BuildArgs map[string]yaml.Node `yaml:"build_args"`
	}
}

func (r *repository) readSpec(file string, text []byte) []build {
	var doc specFile
	if yaml.Unmarshal(text, &doc) != nil {
		return nil
	}
	var builds []build
	for _, name := range sortedKeys(doc.Images) {
		image := doc.Images[name]
		dir := path.Join(path.Dir(file), path.Clean("/" + name)[1:])
		if !r.hasDockerfile(dir) {
			continue
		}
		b := build{source: file, context: dir, dockerfile: path.Join(dir, "Dockerfile"), args: map[string]string{}, names: []string{name}}
		if image.ImageName != "" {
			b.names = []string{image.ImageName, name}
		}
		for _, parent := range []string{image.DependOn, image.DependsOn, image.Parent} {
			if parent != "" && !strings.EqualFold(parent, "null") {
				b.parent, b.sure = parent, true
			}
		}
		for arg, value := range image.BuildArgs {
			if value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
				b.args[arg] = value.Value
			}
		}
		builds = append(builds, b)
	}
	return builds
}
