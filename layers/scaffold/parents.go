package scaffold

import (
	"path"
	"slices"
	"strings"
)

// findParents decides for every image what it stands on: a stage of its own
// Dockerfile that is a layer, what another file says, another image of the
// repository by the name in FROM, or an image from outside.
func (s *images) findParents() {
	for _, img := range s.list {
		img.read = img.file.read(img.stage, img.args)
		s.findArguments(img)
		s.byFile[img.file] = append(s.byFile[img.file], img)
	}
	own := s.ownPrefixes()
	for _, img := range s.list {
		if img.leftOut == "" {
			s.findParent(img, own)
		}
	}
	// What a layer stands on cannot be left out.
	for again := true; again; {
		again = false
		for _, img := range s.list {
			if p := img.parent; img.leftOut == "" && p != nil && p.leftOut != "" {
				p.doubt("The Dockerfile %s, but %s stands on it.", p.leftOut, img.name)
				p.leftOut = ""
				s.findParent(p, own)
				again = true
			}
		}
	}
	for _, img := range s.list {
		if img.leftOut != "" {
			s.findParent(img, own)
		}
	}
	s.breakCycles()
}

func (s *images) findParent(img *image, own *prefixes) {
	img.outside = img.read.ground
	defer s.completeArgs(img)
	if s.parentStage(img) || s.parentSaid(img, true) {
		return
	}
	if p := s.parentByReference(img, img.read.ground, own); p != nil {
		img.parent = p
		img.because("FROM %s is the layer %s.", img.read.ground, p.name)
		return
	}
	if !validReference(img.read.ground) && s.parentSaid(img, false) {
		return
	}
	for _, ref := range img.read.others {
		if p := s.parentByReference(img, ref, own); p != nil {
			img.parent, img.from = p, ref
			img.because("It stands on %s, and takes files from %s, which is the layer %s.", orNothing(img.read.ground), ref, p.name)
			return
		}
	}
}

func orNothing(ref string) string {
	if ref == "" {
		return "an image that is not named"
	}
	return ref
}

// parentStage finds a stage below in the same Dockerfile that is a layer.
func (s *images) parentStage(img *image) bool {
	for _, stage := range img.read.chain[1:] {
		var found *image
		for _, other := range s.byFile[img.file] {
			if other.stage == stage && (found == nil || sameArgs(other, img)) {
				found = other
			}
		}
		if found != nil {
			img.parent = found
			img.read = img.file.readUntil(img.stage, stage, img.args)
			img.because("It stands on the stage %s of the same Dockerfile.", found.target)
			return true
		}
	}
	return false
}

func sameArgs(a, b *image) bool {
	for name, value := range a.args {
		if b.args[name] != value {
			return false
		}
	}
	return len(a.args) == len(b.args)
}

// parentSaid takes what another file says. What is only made before an image
// may be its parent where FROM leaves it open.
func (s *images) parentSaid(img *image, sure bool) bool {
	for _, b := range img.said {
		if b.parent == "" || b.sure != sure {
			continue
		}
		p := s.match(img, parseReference(b.parent))
		if p == nil || p == img {
			continue
		}
		img.parent = p
		img.because("%s says that it stands on %s.", b.source, b.parent)
		if ref := parseReference(img.read.ground); validReference(img.read.ground) && !p.goesBy(ref.name) && !p.goesBy(ref.tag) {
			img.doubt("FROM names %s, which does not look like the layer %s.", img.read.ground, p.name)
		}
		return true
	}
	return false
}

func (i *image) goesBy(name string) bool {
	return slices.ContainsFunc(i.calls, func(c call) bool { return c.name == name })
}

// parentByReference finds the layer that a FROM reference means.
func (s *images) parentByReference(img *image, text string, own *prefixes) *image {
	if text == "" || text == "scratch" {
		return nil
	}
	ref := parseReference(text)
	p := s.match(img, ref)
	switch {
	case p == nil || p == img:
		return nil
	case ref.digest != "":
		img.doubt("%s is pinned by its digest, so the layer %s does not stand in for it. Take the digest out to build on the layer.", text, p.name)
		return nil
	case strings.HasPrefix(text, "<"):
		return p
	}
	ok, doubt := own.owns(ref, p)
	if !ok {
		img.doubt("%s was taken for an image from outside, although there is a layer %s: %s.", text, p.name, doubt)
		return nil
	}
	if doubt != "" {
		img.doubt("%s was taken for the layer %s: %s.", text, p.name, doubt)
	}
	if pinned(ref.tag) && !slices.ContainsFunc(p.calls, func(c call) bool { return c.name == ref.name && c.tag == ref.tag }) {
		img.doubt("FROM asks for the tag %q; the layer %s stands in for it.", ref.tag, p.name)
	}
	return p
}

// pinned reports whether a tag names one release.
func pinned(tag string) bool {
	return tag != "" && strings.ContainsAny(tag, "0123456789")
}

// match finds the image that a reference would mean if it were the
// repository's own, as seen from img; nil if there is none, and img itself if
// it calls itself so.
func (s *images) match(img *image, ref reference) *image {
	name := strings.ToLower(ref.name)
	var best *image
	bestScore := 0
	for _, other := range s.byCall[name] {
		score := other.fits(name, ref.tag)
		if score == 0 {
			continue
		}
		if other.leftOut == "" {
			score += 1 << 12 // a layer before what is left out
		}
		score += min(s.nearness(img, other), 1<<9)
		if score > bestScore {
			best, bestScore = other, score
		}
	}
	return best
}

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
