package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/lab-layers/lab-layers/layers"
)

// maxInstructions of one Dockerfile, as of a layer.
const maxInstructions = 1500

var errNoFrom = errors.New("has no FROM: a part that something else puts together")

// dockerfile is a parsed Dockerfile.
type dockerfile struct {
	path   string
	list   []instructions.Stage
	meta   []instructions.ArgCommand // ARG lines before the first FROM
	escape rune
	// several says that other stages than the last are images too.
	several bool
}

// readDockerfile parses a Dockerfile. The error is told to the user as the
// reason why no layer is made of it.
//
// left is how many bytes may still be read, of all Dockerfiles together.
func (r *repository) readDockerfile(name string, left *int64) (*dockerfile, error) {
	text, err := r.read(name, min(layers.MaxDockerfile, *left))
	if err != nil {
		return nil, fmt.Errorf("was not read: %w", err)
	}
	*left -= int64(len(text))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("is empty")
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("does not parse: %w", err)
	}
	if n := len(parsed.AST.Children); n > maxInstructions {
		return nil, fmt.Errorf("has %d instructions, at most %d are read", n, maxInstructions)
	}
	if !hasFrom(parsed.AST) {
		return nil, errNoFrom
	}
	list, meta, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil, fmt.Errorf("does not parse: %w", err)
	}
	for _, stage := range list {
		for _, cmd := range stage.Commands {
			if run, ok := cmd.(*instructions.RunCommand); ok {
				// Mounts are there only after this. Their variables stay.
				_ = run.Expand(func(word string) (string, error) { return word, nil })
			}
		}
	}
	return &dockerfile{path: name, list: list, meta: meta, escape: parsed.EscapeToken}, nil
}

func hasFrom(ast *parser.Node) bool {
	for _, node := range ast.Children {
		if strings.EqualFold(node.Value, "FROM") {
			return true
		}
	}
	return false
}

// find returns the stage of a name or number as BuildKit does, the last one
// for an empty name; -1 if there is none.
func (d *dockerfile) find(target string) int {
	if target == "" {
		return len(d.list) - 1
	}
	for i := len(d.list) - 1; i >= 0; i-- {
		if strings.EqualFold(d.list[i].Name, target) {
			return i
		}
	}
	return -1
}
