package scaffold

import (
	"path"
	"regexp"
	"strings"
)

// Limits on what is followed of a script.
const (
	maxSteps = 4_000 // commands, those of loops and functions each time anew
	maxItems = 64    // of one loop
	maxCalls = 8     // functions in functions
)

// inRepository stands before paths that a script makes absolute.
const inRepository = "/\x02"

// isScript takes shell scripts that may build images.
func isScript(name string) bool {
	lower := strings.ToLower(name)
	if strings.HasSuffix(lower, ".sh") || strings.HasSuffix(lower, ".bash") {
		return strings.Contains(lower, "build") || strings.Contains(lower, "docker") || strings.Contains(lower, "image") ||
			strings.Contains(lower, "make") || strings.Contains(lower, "push") || strings.Contains(lower, "release") || strings.Contains(lower, "publish") || strings.Contains(lower, "deploy") || lower == "run.sh" || lower == "ci.sh"
	}
	return lower == "build" || lower == "justfile" || strings.HasPrefix(lower, "build-") && !strings.Contains(lower, ".")
}

// script follows the plain parts of a shell script: assignments, loops over
// given words, functions, cd, and the commands that build. Conditions are taken
// as if all held.
type script struct {
	repo      *repository
	source    string
	rank      int
	home      string // the directory that it lies in
	vars      map[string]string
	functions map[string][]string
	dir       string
	steps     int
	builds    []build
}

var (
	shellAssign   = regexp.MustCompile(`^(?:(?:export|local|readonly|declare|typeset)\s+(?:-[a-zA-Z]+\s+)*)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	shellFunction = regexp.MustCompile(`^(?:function\s+)?([A-Za-z_][A-Za-z0-9_-]*)\s*\(\)\s*\{?\s*$|^function\s+([A-Za-z_][A-Za-z0-9_-]*)\s*\{?\s*$`)
	shellFor      = regexp.MustCompile(`^for\s+([A-Za-z_][A-Za-z0-9_]*)\s+in\s+(.*)$`)
	shellComment  = regexp.MustCompile(`(^|\s)#.*$`)
)

// readScript takes what the script builds when it runs in the root, or else in
// its own directory.
func (r *repository) readScript(file string, text []byte) []build {
	var builds []build
	for _, dir := range []string{".", path.Dir(file)} {
		if builds = r.scriptBuilds(file, string(text), dir, rankScript, nil); len(builds) > 0 {
			break
		}
	}
	return builds
}

// scriptBuilds follows a text of shell commands that starts in a directory.
func (r *repository) scriptBuilds(file, text, dir string, rank int, vars map[string]string) []build {
	s := &script{repo: r, source: file, rank: rank, home: path.Dir(file), dir: dir, vars: map[string]string{}, functions: map[string][]string{}}
	for name, value := range vars {
		s.vars[name] = value
	}
	s.run(shellLines(text), 0)
	return s.builds
}

// shellLines joins continued lines, takes comments and here-documents out, and
// puts the words of control on lines of their own.
func shellLines(text string) []string {
	var lines []string
	end := "" // of a here-document
	for line := range strings.Lines(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if end != "" {
			if line == end {
				end = ""
			}
			continue
		}
		if _, mark, ok := strings.Cut(line, "<<"); ok && !strings.HasPrefix(mark, "<") {
			if words := strings.Fields(strings.TrimLeft(mark, "-")); len(words) > 0 {
				end = strings.Trim(words[0], `"'\`)
			}
		}
		line = shellComment.ReplaceAllString(line, "")
		line = strings.NewReplacer("; do ", "\ndo\n", ";do ", "\ndo\n", "; then ", "\n", "; done", "\ndone", "; fi", "\n").Replace(line)
		for part := range strings.SplitSeq(line, "\n") {
			part = strings.TrimSpace(part)
			part = strings.TrimSuffix(strings.TrimSuffix(part, "; do"), ";do")
			if part = strings.TrimSuffix(part, "; then"); part != "" {
				lines = append(lines, strings.TrimSpace(part))
			}
		}
	}
	return lines
}

// block returns how many of the lines belong to what the first one opens.
func block(lines []string, opens func(string) bool, closes string) int {
	depth := 0
	for i, line := range lines {
		if opens(line) {
			depth++
		}
		if line == closes || strings.HasPrefix(line, closes+" ") || strings.HasPrefix(line, closes+")") {
			if depth--; depth <= 0 {
				return i
			}
		}
	}
	return len(lines)
}

func opensLoop(line string) bool {
	return strings.HasPrefix(line, "for ") || strings.HasPrefix(line, "while ") || strings.HasPrefix(line, "until ")
}

func opensFunction(line string) bool {
	return shellFunction.MatchString(line) || strings.HasSuffix(line, "{")
}

// run carries out lines.
func (s *script) run(lines []string, depth int) {
	for i := 0; i < len(lines); i++ {
		if s.steps++; s.steps > maxSteps {
			return
		}
		line := lines[i]
		if m := shellFunction.FindStringSubmatch(line); m != nil {
			n := block(lines[i:], opensFunction, "}")
			s.functions[m[1]+m[2]] = lines[i+1 : min(i+n, len(lines))]
			i += n
			continue
		}
		if m := shellFor.FindStringSubmatch(line); m != nil {
			n := block(lines[i:], opensLoop, "done")
			body := lines[i+1 : min(i+n, len(lines))]
			items := strings.Fields(strings.NewReplacer(`"`, "", `'`, "", ";", "").Replace(s.expand(m[2])))
			for _, item := range items[:min(len(items), maxItems)] {
				s.vars[m[1]] = item
				s.run(body, depth)
			}
			i += n
			continue
		}
		s.step(line, depth)
	}
}

// step carries out one line that is no control.
func (s *script) step(line string, depth int) {
	if m := shellAssign.FindStringSubmatch(line); m != nil && !builder.MatchString(line) && (!strings.Contains(line, "&&") || strings.Contains(line, "$(")) {
		value := strings.TrimSpace(m[2])
		if inner, ok := strings.CutPrefix(value, "("); ok {
			value = strings.TrimSuffix(inner, ")") // an array
		}
		if value = strings.Trim(strings.TrimSuffix(s.expand(value), ";"), `"'`); len(value) <= 8*maxWord {
			s.vars[m[1]] = value
		}
		return
	}
	words := strings.Fields(line)
	if body, ok := s.functions[words[0]]; ok && depth < maxCalls {
		s.call(body, words[1:], depth)
		return
	}
	switch words[0] {
	case "cd", "pushd":
		if len(words) == 2 || len(words) > 2 && (words[2] == "||" || words[2] == ">") {
			s.changeDir(strings.Trim(s.expand(words[1]), `"';`))
			return
		}
		if to, rest, ok := strings.Cut(line, "&&"); ok && len(strings.Fields(to)) == 2 {
			s.changeDir(strings.Trim(s.expand(strings.Fields(to)[1]), `"'`))
			s.step(strings.TrimSpace(rest)+" ", depth)
			return
		}
	case "popd":
		s.changeDir("-")
		return
	}
	if strings.ContainsAny(s.dir, unknown) {
		return
	}
	for _, b := range s.repo.commandBuilds(s.expand(line), s.dir, s.rank) {
		b.source = s.source
		s.builds = append(s.builds, b)
	}
}

// call carries out a function's body with its arguments.
func (s *script) call(body, args []string, depth int) {
	saved := map[string]string{}
	for n := 1; n <= 9; n++ {
		name := string(rune('0' + n))
		saved[name] = s.vars[name]
		delete(s.vars, name)
		if n <= len(args) {
			s.vars[name] = strings.Trim(s.expand(args[n-1]), `"';`)
		}
	}
	s.run(body, depth+1)
	for name, value := range saved {
		if s.vars[name] = value; value == "" {
			delete(s.vars, name)
		}
	}
}

// changeDir follows cd; "-" is taken to lead back to the root.
func (s *script) changeDir(to string) {
	switch {
	case to == "-":
		s.dir = "."
	case strings.ContainsAny(to, unknown+"$`~*"):
		s.dir = unknown
	default:
		s.dir = repositoryPath(s.dir, to)
	}
}

// repositoryPath joins a directory and a path that a script names; what leads
// out of the repository is unknown.
func repositoryPath(dir, name string) string {
	if in, ok := strings.CutPrefix(name, inRepository); ok {
		return path.Join(".", path.Clean("/" + in)[1:])
	}
	joined := path.Join(dir, name)
	if path.IsAbs(name) || strings.HasPrefix(joined, "..") {
		return unknown
	}
	return joined
}
