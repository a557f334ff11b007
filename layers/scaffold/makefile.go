package scaffold

import (
	"path"
	"regexp"
	"strings"
)

// unknown marks, in an expanded word, what cannot be known without running
// make or a shell.
const unknown = "\x00"

// makefile is what is understood of a Makefile: variables and plain rules.
type makefile struct {
	vars     map[string]string
	rules    []makeRule
	included int // files read with include
}

var (
	makeAssign = regexp.MustCompile(`^(?:export\s+|override\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(\?=|::?=|\+=|=)\s*(.*)$`)
	makeHead   = regexp.MustCompile(`^([^:#=\t]+):(?:[^=]|$)`)
)

// parseMake reads lines; conditions are taken as if all held, and the first
// value of a variable stays.
func (r *repository) parseMake(m *makefile, dir, text string, depth int) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	defining := false
	var open []int // rules that recipe lines belong to
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "endef"):
			defining = false
		case defining, trimmed == "", strings.HasPrefix(trimmed, "#"):
		case strings.HasPrefix(trimmed, "define "):
			defining = true
		case strings.HasPrefix(line, "\t"):
			for _, i := range open {
				m.rules[i].recipe = append(m.rules[i].recipe, trimmed)
			}
		case strings.HasPrefix(trimmed, "include ") && depth < 4:
			for _, name := range strings.Fields(m.expand(trimmed[len("include "):], makeRule{})) {
				if m.included++; m.included > 32 {
					return
				}
				if included, err := r.read(path.Join(dir, name), maxEvidence); err == nil && !strings.Contains(name, unknown) {
					r.parseMake(m, dir, string(included), depth+1)
				}
			}
		default:
			if set := makeAssign.FindStringSubmatch(trimmed); set != nil {
				m.assign(set[1], set[2], set[3])
				open = nil
				continue
			}
			open = m.head(line)
		}
	}
}

func (m *makefile) assign(name, how, value string) {
	value, _, _ = strings.Cut(value, " #")
	if _, known := m.vars[name]; known && how != "+=" || len(value) > maxWord {
		return
	}
	if how == "+=" {
		value = strings.TrimSpace(m.vars[name] + " " + value)
	}
	m.vars[name] = strings.TrimSpace(value)
}

// head adds the rules that a line begins and returns their numbers.
func (m *makefile) head(line string) []int {
	if !makeHead.MatchString(line) || len(m.rules) > 10_000 {
		return nil
	}
	targets, needs, _ := strings.Cut(line, ":")
	needs = strings.TrimPrefix(needs, ":")
	needs, command, _ := strings.Cut(needs, ";")
	needs, _, _ = strings.Cut(needs, "|")
	needs, _, _ = strings.Cut(needs, "##")
	if makeAssign.MatchString(strings.TrimSpace(needs)) {
		return nil // a variable of the target
	}
	var open []int
	for _, target := range strings.Fields(targets) {
		rule := makeRule{target: m.expand(target, makeRule{}), needs: strings.Fields(m.expand(needs, makeRule{}))}
		if command != "" {
			rule.recipe = []string{strings.TrimSpace(command)}
		}
		open = append(open, len(m.rules))
		m.rules = append(m.rules, rule)
	}
	return open
}

// expand replaces variables. One that is nowhere set is empty, as for make; a
// function's outcome is unknown.
func (m *makefile) expand(text string, rule makeRule) string {
	budget := 4 * maxWord
	return m.expandDeep(text, rule, 0, &budget)
}

func (m *makefile) expandDeep(text string, rule makeRule, depth int, budget *int) string {
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		name, rest := makeVariable(text[i+1:])
		text = rest
		if *budget--; *budget < 0 || depth > 16 {
			return unknown
		}
		value := unknown
		switch set, known := m.vars[name]; {
		case name == "$":
			value = "$"
		case name == "@" && rule.target != "":
			value = rule.target
		case name == "<" && len(rule.needs) > 0:
			value = rule.needs[0]
		case strings.HasPrefix(name, "or "):
			value = m.expandDeep(name[strings.LastIndex(name, ",")+1:], rule, depth+1, budget)
		case name == "CURDIR" || name == "PWD":
			value = "."
		case known:
			value = m.expandDeep(set, rule, depth+1, budget)
		case strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == "" && name != "":
			value = ""
		}
		if *budget -= len(value) / 64; out.Len()+len(value) > 64*maxWord {
			return unknown
		}
		out.WriteString(value)
	}
	return out.String()
}

// makeVariable splits what follows a dollar sign into the name and the rest.
func makeVariable(text string) (name, rest string) {
	ends := map[byte]byte{'(': ')', '{': '}'}
	end, ok := ends[text[0]]
	if !ok {
		return text[:1], text[1:]
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case text[0]:
			depth++
		case end:
			if depth--; depth == 0 {
				return text[1:i], text[i+1:]
			}
		}
	}
	return text, ""
}
