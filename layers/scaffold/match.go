package scaffold

import (
	"path"
	"slices"
	"strings"
)

// match finds the image that a reference would mean if it were the
// repository's own, as seen from img; nil if there is none, and img itself if
// it calls itself so.
func (s *images) match(img *image, ref reference) *image {
	if p := s.matchCalls(img, ref); p != nil {
		return p
	}
	return s.matchAffixed(img, ref)
}

// matchCalls is match by whole names alone.
func (s *images) matchCalls(img *image, ref reference) *image {
	name := strings.ToLower(ref.name)
	var best *image
	var fitting, placed []*image
	bestScore, bestFit, releases := 0, 0, 0
	for _, other := range s.byCall[name] {
		score := max(other.fits(name, ref.tag), other.fitsVariant(name, img))
		if score == 0 {
			continue
		}
		fit := score
		fitting = append(fitting, other)
		if other.isRelease() {
			releases++
		}
		if other.liesAt(ref.tag) {
			placed = append(placed, other)
		}
		if other.leftOut == "" {
			score += 1 << 12 // a layer before what is left out
		}
		score += min(s.nearness(img, other), 1<<9)
		if score > bestScore {
			best, bestScore, bestFit = other, score, fit
		}
	}
	if !pinned(ref.tag) || len(fitting) < 2 || bestFit > weakly && (bestFit >= 4*weakly || releases < len(fitting)) {
		return best
	}
	if len(placed) == 1 {
		return placed[0]
	}
	return nil // one of several releases, and none of them is it
}

// liesAt reports whether a tag is one of the directories that an image lies
// in, or its words are those of several: 3.10-alpine those of 3.10/alpine/core.
func (i *image) liesAt(tag string) bool {
	dirs := strings.Split(i.dir(), "/")
	if slices.Contains(dirs, tag) {
		return true
	}
	for word := range strings.SplitSeq(tag, "-") {
		if !slices.Contains(dirs, word) {
			return false
		}
	}
	return true
}

// isRelease reports whether a version tells the image apart from others.
func (i *image) isRelease() bool {
	return slices.ContainsFunc(i.calls, func(c call) bool { return pinned(c.tag) && !c.weak })
}

// weakly is the least grade of a fit.
const weakly = 1 << 9

// fits grades how well an image goes by a name and tag; 0 is not at all.
func (i *image) fits(name, tag string) int {
	grade := 0
	for _, c := range i.calls {
		if c.name != name {
			continue
		}
		g := 0
		switch {
		case c.tag == tag && tag != "":
			g = 5
		case c.tag == "latest" && tag == "", c.tag == "" && tag == "latest":
			g = 5
		case c.tag == "":
			g = 3
		case strings.HasPrefix(tag, c.tag+"-"):
			g = 4
		}
		if c.weak {
			g = min(g, 1)
		}
		grade = max(grade, g)
	}
	return grade << 9
}

// fitsVariant grades an image that is the same variant as another, such as
// both "cpu", where the tag in FROM does not tell.
func (i *image) fitsVariant(name string, of *image) int {
	for _, c := range i.calls {
		if c.name != name || c.tag == "" || versionLike.MatchString(c.tag) || i == of {
			continue
		}
		if slices.ContainsFunc(of.calls, func(o call) bool { return o.tag == c.tag }) {
			return 2 << 9
		}
	}
	return 0
}

// nearness counts the words that two images' places have in common: of
// several variants the one beside counts.
func (s *images) nearness(a, b *image) int {
	if a == b {
		return 0
	}
	words := func(i *image) []string {
		return strings.FieldsFunc(strings.ToLower(i.file.path), func(r rune) bool { return r == '/' })
	}
	n := 0
	theirs := words(b)
	for _, word := range words(a) {
		if slices.Contains(theirs, word) {
			n += 4
		}
	}
	if path.Dir(a.dir()) == path.Dir(b.dir()) {
		n += 2
	}
	if sa, _ := stem(path.Base(a.file.path)); sa != "" {
		if sb, _ := stem(path.Base(b.file.path)); sa == sb {
			n += 8
		}
	}
	if sameArgs(a, b) {
		n++
	}
	return n
}
