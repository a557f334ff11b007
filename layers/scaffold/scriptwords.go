package scaffold

import (
	"path"
	"strings"
)

// expand fills in what is known of a line's variables; the rest is unknown.
func (s *script) expand(line string) string {
	var out strings.Builder
	for line != "" && out.Len() < 16*maxWord {
		i := strings.IndexAny(line, "$`")
		if i < 0 || i == len(line)-1 {
			out.WriteString(line)
			break
		}
		out.WriteString(line[:i])
		mark := line[i]
		line = line[i+1:]
		if mark == '`' {
			inside, rest, _ := strings.Cut(line, "`")
			out.WriteString(s.substitute(inside))
			line = rest
			continue
		}
		switch c := line[0]; {
		case c == '(':
			name, rest := makeVariable(line)
			out.WriteString(s.substitute(name))
			line = rest
		case c == '{':
			name, rest := makeVariable(line)
			out.WriteString(s.variable(name))
			line = rest
		case c >= '0' && c <= '9':
			out.WriteString(s.variable(line[:1]))
			line = line[1:]
		default:
			n := 0
			for n < len(line) && (line[n] == '_' || line[n] >= 'a' && line[n] <= 'z' || line[n] >= 'A' && line[n] <= 'Z' || n > 0 && line[n] >= '0' && line[n] <= '9') {
				n++
			}
			if n == 0 {
				out.WriteString(unknown)
				line = line[1:]
				continue
			}
			out.WriteString(s.variable(line[:n]))
			line = line[n:]
		}
	}
	return out.String()
}

// variable is the value of what stands in ${…}.
func (s *script) variable(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(name, "[@]"), "[*]")
	for _, mark := range []string{":-", ":=", "-", "="} {
		if bare, rest, ok := strings.Cut(name, mark); ok && !strings.ContainsAny(bare, "#%/:^,") {
			if value := s.vars[bare]; value != "" && !strings.Contains(value, unknown) {
				return value
			}
			return strings.Trim(s.expandOnce(rest), `"'`)
		}
	}
	switch value, ok := s.vars[name]; {
	case ok:
		return value
	case name == "PWD":
		return inRepository + "/" + s.dir
	case name == "CI_PROJECT_DIR" || name == "GITHUB_WORKSPACE" || name == "WORKSPACE":
		return inRepository
	}
	return unknown
}

// expandOnce fills in a default, which may be one more variable.
func (s *script) expandOnce(text string) string {
	if !strings.ContainsAny(text, "$`") {
		return text
	}
	name := strings.Trim(strings.TrimPrefix(strings.Trim(text, `"'`), "$"), "{}")
	if value, ok := s.vars[name]; ok {
		return value
	}
	return unknown
}

// substitute is the output of $(…), where that is a directory.
func (s *script) substitute(command string) string {
	command = strings.TrimSuffix(strings.TrimPrefix(command, "("), ")")
	switch {
	case strings.Contains(command, "dirname"):
		return inRepository + "/" + path.Join(s.home, strings.Repeat("../", min(strings.Count(command, ".."), 16)))
	case strings.Contains(command, "--show-toplevel"):
		return inRepository
	case strings.TrimSpace(command) == "pwd":
		return inRepository + "/" + s.dir
	}
	return unknown
}
