package layers

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Limits of what variables do.
const (
	maxExpansion = 256 << 10 // bytes of one expanded instruction
	maxCarried   = 32 << 20  // bytes of all of them, and of what RUN steps are given
	maxVariables = 3000      // ENV and ARG assignments
)

// unexpanded instructions leave variables to the shell of the container. RUN
// does so too, but BuildKit expands it once more to name the step.
var unexpanded = map[string]bool{"CMD": true, "ENTRYPOINT": true, "HEALTHCHECK": true, "SHELL": true, "MAINTAINER": true}

// name is what BuildKit's shell takes for the name of a variable.
const name = `(\p{Nd}+|[\p{L}_][\p{L}\p{Nd}_]*|[-@*#?$!])`

var (
	variable    = regexp.MustCompile(`^\$\{?` + name)
	plainName   = regexp.MustCompile(`^` + name + `$`)
	replacement = regexp.MustCompile(`^\$\{` + name + `/`)
	// nested is a replacement with a variable in it, which multiply.
	nested = regexp.MustCompile(`\$\{` + name + "/(?:[\\\\`].|'[^']*'|\"[^\"]*\"|[^}])*\\$")
)

// growth reckons how long the values of variables become. It takes the largest
// value that a name ever had, so it may refuse what would just pass, far beyond
// what people write.
type growth struct {
	args   map[string]string // build arguments
	length map[string]int    // of the values, by name
	// least is the length that any variable may have: the name is expanded
	// too in "ENV $A=$B".
	least    int
	assigned int
	carried  int
}

// bound refuses a Dockerfile whose variables could grow beyond the limits on an
// image of this configuration (JSON; nil is scratch): "ENV A=$A$A" forty times
// would fill any memory.
func (s *stages) bound(config []byte) error {
	var image struct {
		Config struct{ Env, OnBuild []string } `json:"config"`
	}
	if config != nil && json.Unmarshal(config, &image) != nil {
		return nil // the conversion says so
	}
	g := &growth{args: s.args, length: map[string]int{}}
	for _, pair := range image.Config.Env {
		key, value, _ := strings.Cut(pair, "=")
		g.assign(key, len(value))
	}
	for _, trigger := range image.Config.OnBuild {
		parsed, err := parser.Parse(strings.NewReader(trigger))
		if err != nil {
			continue
		}
		if err := g.lines(parsed.AST.Children); err != nil {
			return fmt.Errorf("ONBUILD %s: %w", oneLine([]string{trigger}), err)
		}
	}
	return g.lines(s.ast.Children)
}

func (g *growth) lines(nodes []*parser.Node) error {
	var triggers []*parser.Node // of this stage: they run when it has ended
	for _, node := range nodes {
		switch strings.ToUpper(node.Value) {
		case "FROM":
			for _, trigger := range triggers {
				if err := g.line(trigger); err != nil {
					return err
				}
			}
			triggers = nil
		case "ONBUILD":
			if node.Next != nil && len(node.Next.Children) > 0 {
				trigger := *node.Next.Children[0]
				trigger.Heredocs = append(trigger.Heredocs, node.Heredocs...)
				trigger.StartLine, trigger.EndLine = node.StartLine, node.EndLine
				triggers = append(triggers, &trigger)
			}
		}
		if err := g.line(node); err != nil {
			return err
		}
	}
	return nil
}

func (g *growth) line(node *parser.Node) error {
	instruction := strings.ToUpper(node.Value)
	if unexpanded[instruction] {
		return nil
	}
	total, err := g.expanded(node)
	if err != nil {
		return parser.WithLocation(err, node.Location())
	}
	switch instruction {
	case "ENV": // name, value, separator
		for n := node.Next; n != nil && n.Next != nil && n.Next.Next != nil; n = n.Next.Next.Next {
			g.assign(n.Value, total)
		}
	case "ARG":
		for n := node.Next; n != nil; n = n.Next {
			key, _, _ := strings.Cut(n.Value, "=")
			g.assign(key, max(total, len(g.args[key])))
		}
	case "RUN":
		for _, length := range g.length {
			total += length
		}
		total += g.least * g.assigned
	}
	if g.assigned > maxVariables {
		return parser.WithLocation(fmt.Errorf("%d variables, at most %d", g.assigned, maxVariables), node.Location())
	}
	if g.carried += total; g.carried > maxCarried {
		return parser.WithLocation(fmt.Errorf("what variables expand to comes to more than %d bytes up to here", maxCarried), node.Location())
	}
	return nil
}

// expanded is how long an instruction may become.
func (g *growth) expanded(node *parser.Node) (int, error) {
	line := strings.Join(append([]string{node.Original}, heredocs(node)...), "\n")
	total, multiply := len(line), nested.MatchString(line)
	for _, part := range strings.Split(line, "$")[1:] {
		name := "$"
		if match := variable.FindStringSubmatch("$" + part); match != nil {
			name = match[1]
		}
		length := max(g.length[name], g.least)
		switch {
		case multiply:
			total *= 1 + length
		case replacement.MatchString("$" + part):
			total += length * len(part) // the text in ${A//x/text} may repeat
		default:
			total += length
		}
		if total > maxExpansion {
			return 0, fmt.Errorf("variables may expand to more than %d bytes here", maxExpansion)
		}
	}
	return total, nil
}

func (g *growth) assign(key string, length int) {
	g.assigned++
	if plainName.MatchString(key) {
		g.length[key] = max(g.length[key], length)
	} else if strings.ContainsAny(key, "$'\"\\`") {
		g.least = max(g.least, length)
	}
}

func heredocs(node *parser.Node) []string {
	var texts []string
	for _, doc := range node.Heredocs {
		texts = append(texts, doc.Content)
	}
	return texts
}
