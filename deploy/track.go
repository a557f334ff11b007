package deploy

import (
	"fmt"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/lab-layers/lab-layers/layers"
)

// DefaultTrack is what an environment follows that names no track.
const DefaultTrack = "main"

const (
	headsPrefix = "refs/heads/"
	tagsPrefix  = "refs/tags/"
)

// Track says which releases an environment follows: those of one branch, or the
// newest of the Git tags that a pattern such as "v*" matches.
type Track struct {
	text string
	ref  layers.Ref // of one ref
	tags layers.RefPattern
}

// ParseTrack reads a branch's name, a pattern of Git tags, or a full ref.
func ParseTrack(text string) (Track, error) {
	pattern := headsPrefix + text
	switch {
	case strings.HasPrefix(text, headsPrefix), strings.HasPrefix(text, tagsPrefix):
		pattern = text
	case strings.Contains(text, "*"):
		pattern = tagsPrefix + text
	}
	if strings.HasPrefix(pattern, headsPrefix) && strings.Contains(pattern, "*") {
		return Track{}, fmt.Errorf("track %.80q: an environment follows one branch; patterns are for Git tags, such as v*", text)
	}
	tags, err := layers.ParseRefPattern(pattern)
	if err != nil {
		return Track{}, fmt.Errorf("track %.80q: %w", text, err)
	}
	t := Track{text: text, tags: tags}
	if !strings.Contains(pattern, "*") {
		t.ref = layers.Ref(pattern)
	}
	return t, nil
}

func (t Track) String() string { return t.text }

// Refs are what it follows: one ref or, if tags is true, some of all Git tags.
func (t Track) Refs() (refs []layers.Ref, tags bool) {
	if t.ref == "" {
		return nil, true
	}
	return []layers.Ref{t.ref}, false
}

// Newest finds the newest release that the track follows; nil if there is none.
// Of Git tags the highest version counts, as semantic versions go, and one that
// is no version is below them all: by its run. Pre-releases are left out unless
// the pattern has a hyphen.
func (t Track) Newest(releases []Release) *Release {
	var newest *Release
	for i, r := range releases {
		switch {
		case t.ref != "" && r.Ref != t.ref, !t.tags.Matches(r.Ref):
		case t.ref == "" && !strings.Contains(t.text, "-") && semver.Prerelease(version(r.Ref)) != "":
		case newest == nil || newer(r, *newest):
			newest = &releases[i]
		}
	}
	return newest
}

// Latest finds the ref whose release is the newest that the track follows, among refs
// that have one, those that were released last first.
func (t Track) Latest(refs []layers.Ref) (_ layers.Ref, has bool) {
	releases := make([]Release, len(refs))
	for i, ref := range refs {
		releases[i] = Release{Ref: ref, Run: int64(-i)}
	}
	if newest := t.Newest(releases); newest != nil {
		return newest.Ref, true
	}
	return "", false
}

func newer(a, b Release) bool {
	if order := semver.Compare(version(a.Ref), version(b.Ref)); order != 0 {
		return order > 0
	}
	return a.Run > b.Run
}

// version is the semantic version that a Git tag names; what it names none is
// invalid, which compares below all valid ones.
func version(ref layers.Ref) string {
	return "v" + strings.TrimPrefix(strings.TrimPrefix(string(ref), tagsPrefix), "v")
}
