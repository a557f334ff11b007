package scaffold

import (
	"path"
	"strings"
)

// notDockerfiles are endings of files that speak of Dockerfiles but are none.
var notDockerfiles = []string{
	".dockerignore", ".md", ".rst", ".txt", ".html", ".pdf", ".png", ".svg",
	".go", ".py", ".r", ".rb", ".js", ".ts", ".java", ".sh", ".bash", ".bat", ".ps1",
	".json", ".yml", ".yaml", ".toml", ".lock", ".csv", ".ipynb",
	".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".erb", ".mustache", ".in", ".m4",
	".orig", ".bak", ".swp", ".patch", ".diff", ".tar", ".gz", ".zip",
}

// isDockerfile goes by a file's name: Dockerfile, Dockerfile.gpu,
// Dockerfile-gpu, gpu.Dockerfile, and the same of Containerfile.
func isDockerfile(name string) bool {
	name = strings.ToLower(name)
	for _, ending := range notDockerfiles {
		if strings.HasSuffix(name, ending) {
			return false
		}
	}
	_, ok := stem(name)
	return ok
}

// stem is what a Dockerfile's name adds to "Dockerfile": "gpu" of
// Dockerfile.gpu and gpu.Dockerfile, nothing of Dockerfile itself.
func stem(name string) (string, bool) {
	lower := strings.ToLower(name)
	for _, word := range []string{"dockerfile", "containerfile"} {
		if lower == word {
			return "", true
		}
		if rest, ok := strings.CutPrefix(lower, word); ok && len(rest) > 1 && strings.ContainsAny(rest[:1], ".-_") {
			return name[len(word)+1:], true
		}
		if rest, ok := strings.CutSuffix(lower, "."+word); ok && rest != "" {
			return name[:len(rest)], true
		}
	}
	return "", false
}

// besides are the names of directories whose Dockerfiles serve something else
// than the lab, and what that is.
var besides = map[string]string{
	"docs": "documentation", "doc": "documentation",
	"example": "examples", "examples": "examples", "samples": "examples", "demo": "examples", "demos": "examples",
	"test": "tests", "tests": "tests", "testdata": "tests", "e2e": "tests",
	".devcontainer": "the editor's development container", "devcontainer": "the editor's development container",
	"binder": "Binder", ".binder": "Binder",
	"template": "templates", "templates": "templates", "cookiecutter": "templates", "skeleton": "templates",
	".github": "continuous integration", ".gitlab": "continuous integration", ".circleci": "continuous integration",
	"ci": "continuous integration", ".ci": "continuous integration", ".tekton": "continuous integration",
	"scripts": "scripts", "hack": "scripts",
	"node_modules": "other people's code", "vendor": "other people's code", "third_party": "other people's code",
	"archive": "what is no longer used", "archived": "what is no longer used", "deprecated": "what is no longer used",
	"legacy": "what is no longer used", "old": "what is no longer used", "attic": "what is no longer used",
}

// besideStems are the same for the names of Dockerfiles.
var besideStems = map[string]string{
	"test": "tests", "tests": "tests", "ci": "continuous integration", "lint": "continuous integration",
	"docs": "documentation", "example": "examples", "devcontainer": "the editor's development container",
	"old": "what is no longer used", "retired": "what is no longer used", "deprecated": "what is no longer used",
}

// beside says why a Dockerfile is clearly not one of the lab's images; empty
// if it may be one.
func beside(dockerfile string) string {
	dir, file := path.Split(dockerfile)
	for _, part := range strings.Split(path.Clean(dir), "/") {
		if what := besides[strings.ToLower(part)]; what != "" {
			return "lies under " + part + "/, which is for " + what
		}
	}
	if name, _ := stem(file); besideStems[strings.ToLower(name)] != "" {
		return "is named for " + besideStems[strings.ToLower(name)]
	}
	return ""
}

// saysNothing reports whether what lies at a path tells nothing about how the
// lab's images are built, such as examples. Scripts and CI do.
func saysNothing(file string) bool {
	for part := range strings.SplitSeq(path.Dir(file), "/") {
		switch what := besides[strings.ToLower(part)]; what {
		case "", "scripts", "continuous integration":
		default:
			return true
		}
	}
	return false
}
