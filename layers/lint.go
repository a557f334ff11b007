package layers

import (
	"context"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// strict reports whether "# check=error=true" makes BuildKit take each of its
// warnings for an error.
func strict(text []byte) bool {
	check, _, _, _ := parser.ParseDirective("check", text)
	for _, option := range strings.Split(check, ";") {
		name, value, _ := strings.Cut(option, "=")
		if on, err := strconv.ParseBool(strings.TrimSpace(value)); err == nil && on && strings.TrimSpace(name) == "error" {
			return true
		}
	}
	return false
}

// lint converts once more with BuildKit's warnings on. The error is the first
// of them, with its place.
func lint(ctx context.Context, src source, outside Outside) error {
	var first error
	src.warn = func(rule, _, _, message string, where []parser.Range) {
		if first == nil {
			first = parser.WithLocation(&warning{rule, message}, where)
		}
	}
	if _, err := convert(ctx, src, parentImage, placeholder, outside, nil); err != nil {
		if first != nil {
			return first
		}
		return err
	}
	return nil
}

// warning is a rule of BuildKit's that a Dockerfile breaks.
type warning struct{ rule, message string }

func (w *warning) Error() string {
	return w.message + " (" + w.rule + "): \"# check=error=true\" makes this an error; correct it, or skip the rule"
}
