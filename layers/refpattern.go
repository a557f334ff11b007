package layers

import (
	"fmt"
	"regexp"
	"strings"
)

// RefPattern matches full ref names, such as refs/heads/feature/**: "*" stands
// for any characters but a slash, "**" for any characters.
type RefPattern struct{ match *regexp.Regexp }

// ParseRefPattern reads a pattern as the rules of lab-layers.yaml have them.
func ParseRefPattern(text string) (RefPattern, error) {
	if problem, remedy := patternProblem(text); problem != "" {
		return RefPattern{}, fmt.Errorf("%s: %s", problem, remedy)
	}
	return refPattern(text), nil
}

// Matches reports whether a ref has a name of the pattern.
func (p RefPattern) Matches(ref Ref) bool { return p.match.MatchString(string(ref)) }

// refPattern compiles a pattern that has no problem.
func refPattern(pattern string) RefPattern {
	text := regexp.QuoteMeta(pattern)
	text = strings.ReplaceAll(text, `\*\*`, `.*`)
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	return RefPattern{regexp.MustCompile(`(?s)\A` + text + `\z`)}
}

// maxPattern is the longest pattern, in bytes.
const maxPattern = 512

var badInPattern = regexp.MustCompile(`[\x00-\x20\x7f?\[\\^:~]|\.\.|//|\*\*\*|@\{|/$|\.lock$`)

// patternProblem allows what git-check-ref-format allows in ref names, and
// stars.
func patternProblem(pattern string) (problem, remedy string) {
	problem = "bad ref pattern " + quoted(pattern)
	name := strings.TrimPrefix(strings.TrimPrefix(pattern, headsPrefix), tagsPrefix)
	switch {
	case name == pattern:
		return problem, "begin it with refs/heads/ for branches or refs/tags/ for Git tags"
	case name == "" || len(pattern) > maxPattern || badInPattern.MatchString(pattern):
		return problem, "take a ref's name, with * for any characters but a slash and ** for any characters"
	}
	return "", ""
}
