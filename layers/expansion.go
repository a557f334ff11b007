package layers

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// unexpanded instructions leave variables to the shell of the container.
var unexpanded = map[string]bool{"RUN": true, "CMD": true, "ENTRYPOINT": true, "HEALTHCHECK": true, "SHELL": true, "MAINTAINER": true}

var replacement = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*/`)

var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// boundExpansion refuses a Dockerfile whose variables could grow beyond
// maxExpansion: "ENV A=$A$A" forty times would fill any memory. It reckons
// with the largest value a name ever had, so it may refuse what would just
// pass, far beyond what people write.
func boundExpansion(ast *parser.Node) error {
	length := map[string]int{}
	for _, node := range ast.Children {
		instruction := strings.ToUpper(node.Value)
		if unexpanded[instruction] {
			continue
		}
		line := strings.Join(append([]string{node.Original}, heredocs(node)...), "\n")
		total := len(line)
		// A replacement such as ${A//x/yyy} may repeat the literal text.
		factor := 1
		if replacement.MatchString(line) {
			factor = len(line)
		}
		for _, match := range variable.FindAllStringSubmatch(line, -1) {
			total += length[match[1]] * factor
			if total > maxExpansion {
				return parser.WithLocation(fmt.Errorf("variables may expand to more than %d bytes here", maxExpansion), node.Location())
			}
		}
		if instruction == "ARG" || instruction == "ENV" {
			for _, name := range assigned.FindAllStringSubmatch(line, -1) {
				length[name[1]] = max(length[name[1]], total)
			}
		}
	}
	return nil
}

// assigned finds the names that an ARG or ENV line may set, generously.
var assigned = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)(?:=|\s)`)

func heredocs(node *parser.Node) []string {
	var texts []string
	for _, doc := range node.Heredocs {
		texts = append(texts, doc.Content)
	}
	return texts
}
