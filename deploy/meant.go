package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// What is waited for may come, or has been misspelt: so what there is is told, too.

// maxNames bounds the names that are listed, and maxNamed the characters of one.
const (
	maxNames = 10
	maxNamed = 80
)

// Meant says what a task may have meant that gets no image, given the layers of its
// track's newest release, if there is one, and all refs that have one; empty if
// nothing is known.
func Meant(track Track, layer layers.Name, has []layers.Name, refs []layers.Ref) string {
	if len(has) > 0 {
		return meantLayer(layer, has)
	}
	return track.meant(refs)
}

// meant is what to say of a track that has no release, given the refs that have
// one. Those that are not near are counted: a name may tell what is worked on.
func (t Track) meant(refs []layers.Ref) string {
	if _, has := t.Latest(refs); has || len(refs) == 0 {
		return ""
	}
	var names []string
	for _, ref := range refs {
		name := strings.TrimPrefix(string(ref), headsPrefix)
		if name == tagsPrefix+t.text {
			return "; did you mean " + named(name) + "?"
		}
		names = append(names, name)
	}
	nearest, near := layers.Nearest(t.text, names)
	switch {
	case near:
		return "; did you mean " + named(nearest) + "?"
	case len(refs) == 1:
		return "; one other ref has images"
	}
	return fmt.Sprintf("; %d other refs have images", len(refs))
}

// meant is what to say of a layer that a release has no image of.
func (r Release) meant(layer layers.Name) string {
	return meantLayer(layer, slices.Sorted(maps.Keys(r.Images)))
}

// meantLayer is what somebody probably meant by a layer or, if nothing is near, what
// there is.
func meantLayer(layer layers.Name, has []layers.Name) string {
	var names []string
	for _, name := range has {
		names = append(names, string(name))
	}
	nearest, near := layers.Nearest(string(layer), names)
	return meant(nearest, near, names)
}

// meant is what somebody probably meant or, if nothing is near, what there is.
func meant(nearest string, near bool, names []string) string {
	if near {
		return "; did you mean " + named(nearest) + "?"
	}
	if len(names) == 0 {
		return ""
	}
	var first []string
	for _, name := range names[:min(len(names), maxNames)] {
		first = append(first, named(name))
	}
	text := "; there is " + first[0]
	if len(first) > 1 {
		text = "; there are " + strings.Join(first, ", ")
	}
	if left := len(names) - len(first); left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	return text
}

// named is a name as it may stand in a line: cut, and in quotes where it has what
// cannot be seen.
func named(name string) string {
	if runes := []rune(name); len(runes) > maxNamed {
		name = string(runes[:maxNamed]) + "…"
	}
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
