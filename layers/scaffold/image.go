package scaffold

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/lab-layers/lab-layers/layers"
)

// image is one image that a Dockerfile can make, on its way to a layer.
type image struct {
	file   *dockerfile
	stage  int
	target string // empty for the last stage
	args   map[string]string
	read   reading

	said     []build // what other files say about it
	name     layers.Name
	calls    []call // what it goes by in FROM lines
	parent   *image
	from     string
	outside  string
	context  string
	kind     layers.Kind
	brings   []string // frameworks it installs
	evidence []string
	doubts   []string
	leftOut  string // why no layer is made of it
	order    int
}

func (i *image) because(format string, args ...any) {
	i.evidence = append(i.evidence, fmt.Sprintf(format, args...))
}

func (i *image) doubt(format string, args ...any) {
	if doubt := fmt.Sprintf(format, args...); !slices.Contains(i.doubts, doubt) {
		i.doubts = append(i.doubts, doubt)
	}
}

// dir is the directory that the Dockerfile lies in.
func (i *image) dir() string { return path.Dir(i.file.path) }

// hint returns the first name that another file gives the image.
func (i *image) hint() string {
	for _, b := range i.said {
		for _, name := range b.names {
			if name != "" {
				return name
			}
		}
	}
	return ""
}

// layer is the image as it is told to the user.
func (i *image) layer() Layer {
	l := Layer{Evidence: i.evidence, Doubts: i.doubts, Image: i.outside}
	l.Name, l.Kind, l.From, l.Context = i.name, i.kind, i.from, i.context
	l.Dockerfile, l.Target = i.file.path, i.target
	if len(i.args) > 0 {
		l.Args = maps.Clone(i.args)
	}
	if i.parent != nil {
		l.Parent = i.parent.name
	}
	return l
}
