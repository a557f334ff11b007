package scaffold

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// maxWord is how many bytes a word and a variable's value may have to be
// expanded. Both bounds together keep "ARG A=$A$A" from growing without end.
const maxWord = 1 << 10

// scope is the variables that are set at one place of a Dockerfile.
type scope struct {
	lex  *shell.Lex
	vars map[string]string
}

// Get and Keys make it a shell.EnvGetter.
func (s scope) Get(name string) (string, bool) { v, ok := s.vars[name]; return v, ok }

// Keys lists the names.
func (s scope) Keys() []string { return slices.Sorted(maps.Keys(s.vars)) }

// expand returns a word with its variables replaced, and the names of those
// that are not set. ok is false for a word that cannot be expanded.
func (s scope) expand(word string) (value string, unset []string, ok bool) {
	// The lexer complains about other words on standard error.
	if len(word) > maxWord || !utf8.ValidString(word) || strings.Contains(word, "\x00") {
		return "", nil, false
	}
	value, missing, err := s.lex.ProcessWord(word, s)
	if err != nil {
		return "", nil, false
	}
	return value, slices.Sorted(maps.Keys(missing)), true
}

func (s scope) set(name, value string) {
	if len(value) <= maxWord {
		s.vars[name] = value
	}
}

func (s scope) clone() scope { return scope{s.lex, maps.Clone(s.vars)} }

// platformArgs are what BuildKit sets by itself, for the default platform.
var platformArgs = map[string]string{
	"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64",
	"BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64",
}

// global is the scope of the FROM lines, given the build arguments.
func (d *dockerfile) global(args map[string]string) scope {
	s := scope{shell.NewLex(d.escape), maps.Clone(platformArgs)}
	for _, cmd := range d.meta {
		for _, arg := range cmd.Args {
			s.declare(arg, args, nil)
		}
	}
	return s
}

// declare carries out one ARG.
func (s scope) declare(arg instructions.KeyValuePairOptional, args, global map[string]string) {
	if value, ok := args[arg.Key]; ok {
		s.set(arg.Key, value)
		return
	}
	if arg.Value != nil {
		if value, _, ok := s.expand(*arg.Value); ok {
			s.set(arg.Key, value)
		}
		return
	}
	if value, ok := global[arg.Key]; ok {
		s.set(arg.Key, value)
	}
}
