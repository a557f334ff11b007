package layers

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// Limits of single values, far above what people write.
const (
	maxName     = 128     // bytes of a layer's name, a target or an id
	maxPath     = 4096    // bytes, PATH_MAX of Linux
	maxFrom     = 1024    // bytes of an image reference with its variables
	maxArgument = 1 << 16 // bytes of a build argument's value
)

// What values look like. The JSON Schema takes its patterns from here.
var (
	// namePattern is a path component of a repository name (OCI distribution
	// specification 1.1, "Pulling manifests").
	namePattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	// targetPattern is a stage's name, as Dockerfiles have it in either case.
	targetPattern   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	argumentPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	idPattern       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// kindNames in the order of their ranks.
var kindNames = []string{string(Base), string(Framework), string(Experiment)}

// rank is a kind's height in the graph; -1 for an unknown one.
func (k Kind) rank() int {
	for rank, name := range kindNames {
		if name == string(k) {
			return rank
		}
	}
	return -1
}

// The functions below return what is wrong with a value and what to do about
// it, or two empty texts.

func nameProblem(name string) (string, string) {
	if len(name) > maxName {
		return fmt.Sprintf("the name has %d characters, at most %d are allowed", len(name), maxName), "shorten it"
	}
	if !namePattern.MatchString(name) {
		return "bad name " + quoted(name), "take lower-case letters and digits, with single \".\" or \"_\" or any \"-\" between them"
	}
	return "", ""
}

// ParseName reads a layer's name. The error says what to do about it.
func ParseName(text string) (Name, error) {
	if problem, remedy := nameProblem(text); problem != "" {
		return "", fmt.Errorf("%s: %s", problem, remedy)
	}
	return Name(text), nil
}

func pathProblem(name string) (string, string) {
	switch {
	case name == "":
		return "the path is empty", "write \".\" for the repository's root"
	case len(name) > maxPath:
		return fmt.Sprintf("the path has %d characters, at most %d are allowed", len(name), maxPath), "shorten it"
	case strings.ContainsRune(name, '\\'):
		return fmt.Sprintf("path %s has a backslash", quoted(name)), "separate directories with \"/\""
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("path %s has a control character", quoted(name)), "take it out"
	case path.IsAbs(name):
		return fmt.Sprintf("path %s is absolute", quoted(name)), "write it relative to the repository's root"
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return fmt.Sprintf("path %s has \"..\", which may lead out of the repository", quoted(name)), "write it from the repository's root"
		}
	}
	return "", ""
}

func fromProblem(ref string) (string, string) {
	if ref == "" || len(ref) > maxFrom || strings.ContainsFunc(ref, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "bad reference " + quoted(ref), "write it as the Dockerfile's FROM line does, such as base or ${REGISTRY}/base:latest"
	}
	if ref == scratch {
		return "no layer can stand in for scratch", "take \"from\" and \"parent\" out, or name an image"
	}
	return "", ""
}

func targetProblem(target string) (string, string) {
	if len(target) > maxName || !targetPattern.MatchString(target) {
		return "bad target " + quoted(target), "write the name after AS in a FROM line"
	}
	return "", ""
}

func argumentProblem(name string) (string, string) {
	if len(name) > maxName || !argumentPattern.MatchString(name) {
		return "bad argument name " + quoted(name), "take letters, digits and \"_\", no digit first"
	}
	return "", ""
}

func valueProblem(value string) (string, string) {
	if len(value) > maxArgument {
		return fmt.Sprintf("the value has %d bytes, at most %d are allowed", len(value), maxArgument), "put it into a file and COPY that"
	}
	if strings.ContainsRune(value, 0) {
		return "the value has a NUL character", "take it out"
	}
	return "", ""
}

func idProblem(id string) (string, string) {
	if len(id) > maxName || !idPattern.MatchString(id) {
		return "bad id " + quoted(id), "take letters, digits, \"_\", \".\" and \"-\", the id alone and never the secret"
	}
	return "", ""
}
