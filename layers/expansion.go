package layers

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// boundExpansion refuses a Dockerfile whose variables could grow beyond
// maxExpansion: "ENV A=$A$A" forty times would fill any memory. It reckons
// with the largest value a name ever had, so it may refuse what would just
// pass, far beyond what people write.
func boundExpansion(ast *parser.Node) error {
	length := map[string]int{}
	for _, node := range ast.Children {
		line := strings.Join(append([]string{node.Original}, heredocs(node)...), "\n")
		total := len(line)
		// A replacement such as ${A//x/yyy} may repeat the literal text.
		factor := 1
		if strings.Contains(line, "/") && strings.Contains(line, "${") {
			factor += len(line) / 8
		}
		for _, match := range variable.FindAllStringSubmatch(line, -1) {
			total += length[match[1]] * factor
			if total > maxExpansion {
				return parser.WithLocation(fmt.Errorf("variables may expand to more than %d bytes here", maxExpansion), node.Location())
			}
		}
		switch strings.ToUpper(node.Value) {
		case "ARG", "ENV":
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
