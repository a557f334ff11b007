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

// Meant says what a task may have meant that gets no image, given the releases of its
// track and all refs that have one; empty if nothing is known.
func Meant(track Track, layer layers.Name, releases []Release, refs []layers.Ref) string {
	if newest := track.Newest(releases); newest != nil {
		return newest.meant(layer)
	}
	return track.meant(refs)
}

// meant is what to say of a track that has no release, given the refs that have
// one.
func (t Track) meant(refs []layers.Ref) string {
	var names []string
	for _, ref := range refs {
		name := strings.TrimPrefix(string(ref), headsPrefix)
		if name == tagsPrefix+t.text {
			return "; did you mean " + named(name) + "?"
		}
		names = append(names, name)
	}
	nearest, near := layers.Nearest(t.text, names)
	return meant(nearest, near, names)
}

// meant is what to say of a layer that a release has no image of.
func (r Release) meant(layer layers.Name) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.Images)) {
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
