package layers

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Limits of a Dockerfile. Converting one is quadratic in the number of its
// instructions (10,000 take seconds), and variables may double at each line.
const (
	MaxDockerfile   = 1 << 20 // bytes
	maxInstructions = 1500
	maxLines        = 20_000
	// maxGarbled bounds bytes that are not UTF-8, as an older encoding has some:
	// the library writes a line about each to the standard error.
	maxGarbled = 1000
)

// parentImage is the reference that stands in for a stage which another layer
// builds. ".invalid" never resolves (RFC 6761).
const parentImage = "lab-layers.invalid/parent:layer"

// scratch is the FROM name of the empty image.
const scratch = "scratch"

// stages is a parsed Dockerfile, as far as it takes to know what a target
// stands on.
type stages struct {
	text   []byte
	ast    *parser.Node
	args   map[string]string // build arguments
	list   []instructions.Stage
	bases  []string // of each stage, variables expanded
	syntax string
}

// parseStages reads a Dockerfile within the limits above.
func parseStages(text []byte, args map[string]string, platform string) (*stages, error) {
	if len(text) > MaxDockerfile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(text), MaxDockerfile)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("the Dockerfile is empty")
	}
	if n := bytes.Count(text, []byte("\n")); n > maxLines {
		return nil, fmt.Errorf("%d lines, at most %d", n, maxLines)
	}
	if line := garbled(text); line > 0 {
		return nil, parser.WithLocation(errors.New("the file is no text from here on"), []parser.Range{{Start: parser.Position{Line: line}}})
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if n := len(parsed.AST.Children); n > maxInstructions {
		return nil, fmt.Errorf("%d instructions, at most %d", n, maxInstructions)
	}
	s := &stages{text: text, ast: parsed.AST, args: args}
	if err := s.bound(nil); err != nil {
		return nil, err
	}
	s.syntax, _, _, _ = parser.DetectSyntax(text)
	var meta []instructions.ArgCommand
	s.list, meta, err = instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil, err
	}
	lex := shell.NewLex(parsed.EscapeToken)
	env := globalArgs(lex, meta, args, platform)
	for _, stage := range s.list {
		base, _, err := lex.ProcessWord(stage.BaseName, env)
		if err != nil {
			return nil, parser.WithLocation(err, stage.Location)
		}
		s.bases = append(s.bases, base)
	}
	return s, nil
}

// garbled is the line of the first NUL, or of the byte with which those that are
// not UTF-8 are too many; 0 for text.
func garbled(text []byte) (line int) {
	at := bytes.IndexByte(text, 0)
	if at < 0 && utf8.Valid(text) {
		return 0
	}
	bad := 0
	for i := 0; at < 0 && i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 {
			if bad++; bad > maxGarbled {
				at = i
			}
		}
		i += size
	}
	if at < 0 {
		return 0
	}
	return 1 + bytes.Count(text[:at], []byte("\n"))
}

// globalArgs are the values that FROM lines may use.
func globalArgs(lex *shell.Lex, meta []instructions.ArgCommand, args map[string]string, platform string) shell.EnvGetter {
	os, arch, _ := strings.Cut(platform, "/")
	env := []string{
		"TARGETPLATFORM=" + platform, "TARGETOS=" + os, "TARGETARCH=" + arch,
		"BUILDPLATFORM=" + platform, "BUILDOS=" + os, "BUILDARCH=" + arch,
	}
	for _, cmd := range meta {
		for _, arg := range cmd.Args {
			value, given := args[arg.Key]
			if !given {
				if arg.Value == nil {
					continue
				}
				expanded, _, err := lex.ProcessWord(*arg.Value, shell.EnvsFromSlice(env))
				if err != nil {
					continue // the conversion reports it with its place
				}
				value = expanded
			}
			env = append(env, arg.Key+"="+value)
		}
	}
	return shell.EnvsFromSlice(env)
}

// find returns the stage that a target names, as BuildKit finds it: without
// regard to case, the last of a name; -1 if there is none.
func (s *stages) find(target string) int {
	if target == "" {
		return len(s.list) - 1
	}
	for i := len(s.list) - 1; i >= 0; i-- {
		if strings.EqualFold(s.list[i].Name, target) {
			return i
		}
	}
	return -1
}

// below returns the stage that stage i stands on, -1 for an image. BuildKit
// compares the FROM name with the lower-cased names of earlier stages.
func (s *stages) below(i int) int {
	for j := i - 1; j >= 0; j-- {
		if s.list[j].Name != "" && strings.ToLower(s.list[j].Name) == s.bases[i] {
			return j
		}
	}
	return -1
}

// ground returns the image reference that a stage's chain ends in.
func (s *stages) ground(i int) string {
	for {
		j := s.below(i)
		if j < 0 {
			return s.bases[i]
		}
		i = j
	}
}

// standsOn reports whether stage i has stage j in its chain.
func (s *stages) standsOn(i, j int) bool {
	for i >= 0 && i != j {
		i = s.below(i)
	}
	return i == j
}

// replaced finds what a parent layer's image stands in for: a stage, or -1, and
// the image reference that is to be converted in its place.
func (s *stages) replaced(target int, from, parentTarget string, sameFile bool) (stage int, ref string, err error) {
	switch {
	case from != "":
		if j := s.find(from); j >= 0 && j != target && s.list[j].Name != "" {
			return j, parentImage, nil
		}
		for i, stage := range s.list {
			if from == stage.BaseName || from == s.bases[i] || sameImage(from, s.bases[i]) {
				return -1, s.bases[i], nil
			}
		}
		return -1, from, nil // a COPY --from or mount of that image
	case sameFile:
		j := s.find(parentTarget)
		if j >= 0 && j != target && s.list[j].Name != "" && s.standsOn(target, j) {
			return j, parentImage, nil
		}
	}
	ground := s.ground(target)
	if ground == scratch {
		return -1, "", errors.New("stands on scratch, so its parent is not used: name the reference that the parent stands in for with \"from\", or take \"parent\" out")
	}
	return -1, ground, nil
}

// sameImage reports whether two references name one image once the default
// registry and tag are filled in.
func sameImage(a, b string) bool {
	return a == b || normalImage(a) == normalImage(b)
}

// normalImage is the reference as BuildKit asks for it.
func normalImage(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

func startLine(ranges []parser.Range) int {
	if len(ranges) == 0 {
		return 1
	}
	first := ranges[0].Start.Line
	for _, r := range ranges {
		first = min(first, r.Start.Line)
	}
	return first
}
