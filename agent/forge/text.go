package forge

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain is text on one line, without characters that are not seen or that change
// the order of others.
func plain(text string) string {
	return strings.Join(strings.Fields(visible(strings.ToValidUTF8(text, "\uFFFD"))), " ")
}

// visible leaves line breaks and tabs, and drops what cannot be seen.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, text)
}

// limit cuts a text to a number of characters.
func limit(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// inert parts what a forge may give a meaning wherever it stands, with spaces of
// no width: mentions and tags.
var inert = strings.NewReplacer("@", "@\u200b", "<", "<\u200b")

// code shows hostile text within a line, as code: forges give code no meaning,
// and nothing in it can end it.
func code(text string, n int) string {
	text = limit(plain(text), n)
	if text == "" {
		return ""
	}
	return "`" + inert.Replace(strings.ReplaceAll(text, "`", "'")) + "`"
}

// cell is code in a table's cell.
func cell(text string, n int) string { return strings.ReplaceAll(code(text, n), "|", `\|`) }

// block shows hostile lines as a block of code. No fence is in them: a longer one
// around it would do for Markdown, but GitLab looks for commands, which are lines
// such as "/close", outside of what three backticks enclose.
func block(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		line = strings.ReplaceAll(visible(strings.ToValidUTF8(line, "\uFFFD")), "\n", " ")
		b.WriteString(limit(strings.ReplaceAll(inert.Replace(line), "``", "`\u200b`"), maxLine) + "\n")
	}
	return "```text\n" + b.String() + "```\n"
}
