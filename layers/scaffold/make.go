package scaffold

import (
	"path"
	"slices"
	"strings"
)

func isMake(name string) bool {
	return slices.Contains([]string{"Makefile", "makefile", "GNUmakefile"}, name)
}

// makeRule is one rule of a Makefile, its recipe with lines joined.
type makeRule struct {
	target string
	needs  []string
	recipe []string
}

// readMake takes two things from a Makefile: the docker build commands of its
// recipes, and rules that call a function with a directory that has a
// Dockerfile. What make itself computes with functions is not known.
func (r *repository) readMake(file string, text []byte) []build {
	m := &makefile{vars: map[string]string{}}
	r.parseMake(m, path.Dir(file), string(text), 0)
	var builds []build
	made := map[string]bool{} // targets that make images
	for _, rule := range m.rules {
		said := r.ruleBuilds(m, file, rule)
		if len(said) > 0 {
			made[rule.target] = true
		}
		builds = append(builds, said...)
	}
	for i, b := range builds {
		if !made[b.parent] {
			builds[i].parent = ""
		}
	}
	return builds
}

// ruleBuilds is what one rule builds.
func (r *repository) ruleBuilds(m *makefile, file string, rule makeRule) []build {
	if len(rule.target) > maxWord || strings.ContainsAny(rule.target, "%$\x00") {
		return nil
	}
	parent, dir := "", path.Dir(file)
	if len(rule.needs) > 0 {
		parent = rule.needs[0]
	}
	var builds []build
	for _, line := range rule.recipe {
		if strings.Contains(line, "$(call ") {
			for _, arg := range callArguments(line) {
				arg = m.expand(arg, rule)
				if arg == "" || strings.ContainsAny(arg, unknown+" ") || !r.hasDockerfile(path.Join(dir, arg)) {
					continue
				}
				builds = append(builds, build{source: file, dockerfile: path.Join(dir, arg, "Dockerfile"), names: []string{rule.target}, parent: parent})
			}
			continue
		}
		for _, b := range r.commandBuilds(m.expand(line, rule), dir, rankDescription) {
			b.source, b.parent = file, parent
			builds = append(builds, b)
		}
	}
	return builds
}

// callArguments are the arguments of the $(call …) of a recipe line.
func callArguments(line string) []string {
	_, rest, _ := strings.Cut(line, "$(call ")
	depth, end := 0, len(rest)
	for i, c := range rest {
		if c == '(' {
			depth++
		}
		if c == ')' {
			if depth == 0 {
				end = i
				break
			}
			depth--
		}
	}
	args := strings.Split(rest[:end], ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	return args[1:]
}
