package scaffold

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var wholeVariable = regexp.MustCompile(`^\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))$`)

// completeArgs gives FROM what it lacks to be a valid reference: values for
// variables without a default, or for defaults that only describe, such as
// <name>. An image whose FROM stays without one is left out.
func (s *images) completeArgs(img *image) {
	ground := img.read.ground
	if ground == "scratch" || ground != "" && validReference(ground) {
		return
	}
	args := maps.Clone(img.args)
	if args == nil {
		args = map[string]string{}
	}
	if m := wholeVariable.FindStringSubmatch(img.read.word); m != nil {
		variable, value := m[1]+m[2], strings.Trim(ground, "<> ")
		if img.parent != nil && img.from == "" {
			value = string(img.parent.name)
			img.because("%s is given so that FROM names an image; the layer %s stands in for it.", variable, value)
		} else if value != "" {
			img.doubt("FROM says %q: %s was taken for the image that is meant.", ground, value)
		}
		args[variable] = value
	} else {
		for _, name := range img.read.unset {
			args[name] = guessValue(img.read.word, name)
			if img.parent == nil {
				img.doubt("%s has no default; %q is a guess.", name, args[name])
			} else {
				img.because("%s has no default; %q is given so that FROM names an image, for which the layer %s stands in.", name, args[name], img.parent.name)
			}
		}
	}
	read := img.file.read(img.stage, args)
	if !validReference(read.ground) {
		img.open = true
		if img.leftOut == "" {
			img.leftOut = "stands on " + quoteWord(img.read.word) + ", and nothing in the repository says what that is: give its arguments"
		}
		return
	}
	for name := range args {
		if !slices.Contains(slices.Collect(maps.Keys(img.args)), name) && args[name] == "" {
			delete(args, name)
		}
	}
	img.args, img.read = args, read
	if img.parent == nil {
		img.outside = read.ground
	}
}

// guessValue invents a value for a variable by where it stands in FROM.
func guessValue(word, name string) string {
	at := strings.Index(word, "$"+name)
	if at < 0 {
		at = strings.Index(word, "${"+name)
	}
	if at < 0 {
		return "latest"
	}
	switch before, after := word[:at], word[at:]; {
	case strings.Contains(after, "/"):
		return "local"
	case strings.HasSuffix(before, ":") || strings.Contains(before[strings.LastIndex(before, "/")+1:], ":"):
		return "latest"
	}
	return "" // an image's own name is not to be guessed
}

func quoteWord(word string) string {
	if len(word) > 80 {
		word = word[:80] + "…"
	}
	return `"` + word + `"`
}
