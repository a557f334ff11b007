package scaffold

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/lab-layers/lab-layers/layers"
)

// What lab-layers.yaml takes as the name of an argument and of a target, and as
// the id of a secret.
var (
	argumentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretID     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	targetName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
)

// writable reports whether lab-layers.yaml can name a path.
func writable(name string) bool {
	return len(name) <= 4096 && !strings.Contains(name, "\\") && !strings.ContainsFunc(name, unicode.IsControl)
}

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
	why      string // the evidence for the parent
	from     string
	outside  string
	context  string
	kind     layers.Kind
	brings   []string // frameworks it installs
	evidence []string
	doubts   []string
	leftOut  string // why no layer is made of it
	open     bool   // FROM stays without an image: it cannot be built
	order    int
}

func (i *image) because(format string, args ...any) {
	if evidence := fmt.Sprintf(format, args...); !slices.Contains(i.evidence, evidence) {
		i.evidence = append(i.evidence, evidence)
	}
}

// standOn sets the parent and says why.
func (i *image) standOn(parent *image, format string, args ...any) {
	i.parent, i.why = parent, fmt.Sprintf(format, args...)
}

// standOutside takes the parent away.
func (i *image) standOutside() { i.parent, i.from, i.why = nil, "", "" }

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
	l := Layer{Evidence: slices.Clone(i.evidence), Doubts: i.doubts, Image: i.outside}
	if i.why != "" {
		l.Evidence = slices.Insert(l.Evidence, 0, i.why)
	}
	l.Name, l.Kind, l.From, l.Context = i.name, i.kind, i.from, i.context
	l.Dockerfile, l.Target = i.file.path, i.target
	l.Secrets, l.SSH = i.read.secrets, i.read.ssh
	if len(l.Secrets) > 0 {
		l.Evidence = append(l.Evidence, fmt.Sprintf("Its build asks for secrets, which the agent must have: %s.", some(l.Secrets)))
	}
	for name, value := range i.args {
		if argumentName.MatchString(name) && len(name) <= maxName && !strings.Contains(value, "\x00") {
			if l.Args == nil {
				l.Args = map[string]string{}
			}
			l.Args[name] = value
		}
	}
	if i.parent != nil {
		l.Parent = i.parent.name
	}
	return l
}
