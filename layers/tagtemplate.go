package layers

import (
	"fmt"
	"regexp"
	"strings"
)

// template makes tags of refs and commits, and knows its own tags again.
type template struct {
	text   string
	named  bool           // it has {branch} or {tag}
	shape  *regexp.Regexp // of its tags; the group is the slug
	dated  bool           // it has {commit}
	pieces []string
}

var (
	placeholderPattern = regexp.MustCompile(`\{[^{}]*\}|[{}]`)
	// literalPattern is what may stand between the placeholders.
	literalPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)
)

// parseTemplate reads the template of a tag for the refs of a pattern.
func parseTemplate(text, pattern string) (t template, problem, remedy string) {
	fail := func(remedy string) (template, string, string) {
		return template{}, "bad tag template " + quoted(text), remedy
	}
	name := "{branch}"
	if strings.HasPrefix(pattern, tagsPrefix) {
		name = "{tag}"
	}
	t.text = text
	var shape strings.Builder
	last := 0
	literal := func(s string) {
		shape.WriteString(regexp.QuoteMeta(s))
		t.pieces = append(t.pieces, s)
	}
	for _, at := range placeholderPattern.FindAllStringIndex(text, -1) {
		literal(text[last:at[0]])
		last = at[1]
		piece := text[at[0]:at[1]]
		switch {
		case piece == name && !t.named:
			t.named = true
			shape.WriteString(`(.+)`)
		case piece == "{commit}" && !t.dated:
			t.dated = true
			shape.WriteString(`[0-9a-f]{12}`)
		case piece == name || piece == "{commit}":
			return fail(fmt.Sprintf("%s can stand there once", piece))
		case piece == "{branch}" || piece == "{tag}":
			return fail(fmt.Sprintf("these refs have %s, not %s", name, piece))
		default:
			return fail(fmt.Sprintf("there are %s and {commit}", name))
		}
		t.pieces = append(t.pieces, piece)
	}
	literal(text[last:])
	t.shape = regexp.MustCompile(`\A` + shape.String() + `\z`)
	switch rest := placeholderPattern.ReplaceAllString(text, ""); {
	case text == "":
		return fail("write a tag, such as " + name)
	case !literalPattern.MatchString(rest) || strings.ContainsAny(text[:1], ".-") || len(rest) > maxTag:
		return fail("take letters, digits, \"_\", \".\" and \"-\", the last two not first")
	case strings.HasPrefix(text, reservedPrefix):
		return fail("tags that begin with \"key-\" are lab-layers' own")
	case !t.named && strings.Contains(pattern, "*"):
		return fail(fmt.Sprintf("add %s: many refs match %s, and no two may share a tag", name, quoted(pattern)))
	}
	return t, "", ""
}

// render fills in the slug of a ref's name and the start of a commit.
func (t template) render(slug, commit string) string {
	var b strings.Builder
	for _, piece := range t.pieces {
		switch piece {
		case "{branch}", "{tag}":
			piece = slug
		case "{commit}":
			piece = commit
		}
		b.WriteString(piece)
	}
	return b.String()
}

// slug returns the slug from which the template could have made a tag; empty
// for one without a name in it. There is at most one: all else in a template
// has a fixed length.
func (t template) slug(tag string) (slug string, ok bool) {
	match := t.shape.FindStringSubmatch(tag)
	if match == nil {
		return "", false
	}
	return match[len(match)-1], true
}
