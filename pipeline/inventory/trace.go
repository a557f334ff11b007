package inventory

import (
	"path"
	"regexp"
	"strings"
	"unicode"

	"github.com/lab-layers/lab-layers/pipeline"
)

// kind is the sort of evidence that a file is.
type kind string

const (
	wheel    kind = "wheel" // a Python distribution, however it came
	condaPkg kind = "conda"
	debPkg   kind = "dpkg"
	toolkit  kind = "path" // a directory that NVIDIA's installer makes
)

// trace is one package, and the file that shows it.
type trace struct {
	kind    kind
	path    string
	name    string // as its packagers normalise it
	version string // whole, with local parts and revisions
}

func (t trace) finding() pipeline.Finding {
	return pipeline.Finding{Name: t.name, Version: t.version, Evidence: string(t.kind) + ": " + t.path}
}

func traceOf(f pipeline.Finding) (trace, bool) {
	k, path, ok := strings.Cut(f.Evidence, ": ")
	return trace{kind: kind(k), path: path, name: f.Name, version: f.Version}, ok
}

// recognise tells the package that a file belongs to, if it is one that counts.
func recognise(name string) (t trace, ok bool) {
	dir, base := path.Split(name)
	switch {
	case base == "METADATA" || base == "PKG-INFO":
		t, ok = distribution(strings.TrimSuffix(dir, "/"))
	case strings.HasSuffix(base, ".egg-info"):
		t, ok = distribution(name)
	case strings.HasSuffix(base, ".json") && strings.HasSuffix(dir, "conda-meta/"):
		t, ok = conda(strings.TrimSuffix(base, ".json"))
	case strings.HasPrefix(name, "usr/local/cuda-"):
		return installedToolkit(name)
	}
	t.path = name
	return t, ok && counts(t) && plain(name)
}

// distribution reads the name of a .dist-info or .egg-info, as PyPA's "Recording
// installed projects" and setuptools have it: NAME-VERSION, with no dash in
// either; an egg's goes on after another dash. Only where Python looks for
// installed packages: caches have them too.
func distribution(info string) (trace, bool) {
	dir, base := path.Split(info)
	if !strings.HasSuffix(dir, "/site-packages/") && !strings.HasSuffix(dir, "/dist-packages/") || strings.Contains(dir, "/pkgs/") {
		return trace{}, false
	}
	stem, ok := strings.CutSuffix(base, ".dist-info")
	if !ok {
		if stem, ok = strings.CutSuffix(base, ".egg-info"); !ok {
			return trace{}, false
		}
	}
	name, rest, _ := strings.Cut(stem, "-")
	version, _, _ := strings.Cut(rest, "-")
	return trace{kind: wheel, name: normal(name), version: version}, true
}

// conda reads the name of a file in conda-meta: NAME-VERSION-BUILD.
func conda(stem string) (trace, bool) {
	rest, _, ok := cutLast(stem)
	if !ok {
		return trace{}, false
	}
	name, version, ok := cutLast(rest)
	return trace{kind: condaPkg, name: name, version: version}, ok
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

var toolkitDir = regexp.MustCompile(`^usr/local/cuda-(\d{1,2}\.\d{1,2})/`)

// installedToolkit is the directory that a file of a CUDA toolkit lies in.
func installedToolkit(name string) (trace, bool) {
	match := toolkitDir.FindStringSubmatch(name)
	if match == nil {
		return trace{}, false
	}
	return trace{kind: toolkit, name: "cuda", version: match[1], path: strings.TrimSuffix(match[0], "/")}, true
}

var separators = regexp.MustCompile(`[-_.]+`)

// normal is a Python project's name as PEP 503 normalises it.
func normal(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

var versionPattern = regexp.MustCompile(`^[0-9A-Za-z.+~!:_-]{0,80}$`)

// counts reports whether a package says anything about frameworks or CUDA.
func counts(t trace) bool {
	if !versionPattern.MatchString(t.version) {
		return false
	}
	_, isFramework := frameworkOf(t.name)
	return isFramework || t.cuda().Known() || t.withoutCUDA()
}

// plain reports whether a path is such as people can be shown.
func plain(name string) bool {
	return len(name) <= 512 && strings.IndexFunc(name, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) < 0
}
