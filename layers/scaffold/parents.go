package scaffold

import (
	"slices"
	"strings"
)

// findParents decides for every image what it stands on: a stage of its own
// Dockerfile that is a layer, what another file says, another image of the
// repository by the name in FROM, or an image from outside.
func (s *images) findParents() {
	makes := map[*dockerfile]int{}
	for _, img := range s.list {
		if img.target == "" {
			makes[img.file]++
		}
	}
	for _, img := range s.list {
		s.settleArgs(img, makes[img.file] > 1)
		img.read = img.file.read(img.stage, img.args)
		s.findArguments(img)
		s.byFile[img.file] = append(s.byFile[img.file], img)
	}
	own := s.findLayersParents()
	if s.takeBack() {
		own = s.findLayersParents()
	}
	s.keepParents(own)
	for _, img := range s.list {
		if img.leftOut != "" {
			s.findParent(img, own)
		}
	}
	s.breakCycles()
}

// findLayersParents is findParents for those that are not left out.
func (s *images) findLayersParents() *prefixes {
	s.findAffixes()
	own := s.ownPrefixes()
	for _, img := range s.list {
		if img.leftOut == "" {
			s.findParent(img, own)
		}
	}
	return own
}

// settleArgs decides on the arguments that count only under a condition. Where
// one Dockerfile makes several images, they are what tells them apart.
func (s *images) settleArgs(img *image, several bool) {
	for name, value := range img.args {
		if !strings.Contains(value, unknown) {
			continue
		}
		delete(img.args, name)
		last, ownerKnown := strings.CutPrefix(value, unsettled)
		last = strings.TrimPrefix(last, ownerUnknown)
		ref := parseReference(last)
		p := s.matchCalls(img, ref)
		own := p != nil && p != img && validReference(last) && !official[ref.name] && !published(ref.prefix)
		if own || ownerKnown && (several || !img.file.hasDefault(name)) {
			img.args[name] = last
		}
	}
}

// keepParents sees to it that no layer stands on one that is left out: that
// one is kept too, or, if it cannot be built, not stood on.
func (s *images) keepParents(own *prefixes) {
	for again := true; again; {
		again = false
		for _, img := range s.list {
			p := img.parent
			if img.leftOut != "" || p == nil || p.leftOut == "" {
				continue
			}
			again = true
			if p.open {
				img.doubt("It would stand on %s, which %s.", p.name, p.leftOut)
				img.standOutside()
				continue
			}
			p.doubt("The Dockerfile %s, but %s stands on it.", p.leftOut, img.name)
			p.leftOut = ""
			s.findParent(p, own)
		}
	}
}

func (s *images) findParent(img *image, own *prefixes) {
	img.outside = img.read.ground
	defer s.completeArgs(img)
	if s.parentStage(img) || s.parentTarget(img) || s.parentSaid(img, true) {
		return
	}
	if p := s.parentByReference(img, img.read.ground, own); p != nil {
		img.standOn(p, "FROM %s is the layer %s.", img.read.ground, p.name)
		return
	}
	if s.parentSaid(img, false) {
		return
	}
	for _, ref := range img.read.others {
		if !validReference(ref) {
			continue
		}
		if p := s.parentByReference(img, ref, own); p != nil {
			img.from = ref
			img.standOn(p, "It stands on %s, and takes files from %s, which is the layer %s.", orNothing(img.read.ground), ref, p.name)
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
			img.read = img.file.readUntil(img.stage, stage, img.args)
			img.standOn(found, "It stands on the stage %s of the same Dockerfile.", found.target)
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

// parentTarget takes another build that the image's own build puts in the
// place of an image: of what FROM names, or else of what it copies from.
func (s *images) parentTarget(img *image) bool {
	for _, ref := range append([]string{img.read.ground}, img.read.others...) {
		p, source := s.targetFor(img, ref)
		switch {
		case p == nil || p == img:
		case img.parent == nil && ref == img.read.ground:
			img.standOn(p, "%s puts the layer %s in the place of %s.", source, p.name, ref)
		case img.parent == nil:
			img.from = ref
			img.standOn(p, "It stands on %s, and takes files from %s, in whose place %s puts the layer %s.", orNothing(img.read.ground), ref, source, p.name)
		default:
			img.doubt("It also takes files from %s, in whose place %s puts the layer %s. A layer has one parent: give the other one by a reference.", ref, source, p.name)
		}
	}
	return img.parent != nil
}

// targetFor finds the build that stands in for a reference.
func (s *images) targetFor(img *image, ref string) (target *image, source string) {
	for _, b := range img.said {
		name, ok := b.targets[ref]
		if !ok {
			continue
		}
		for _, other := range s.byCall[strings.ToLower(name)] {
			if slices.ContainsFunc(other.said, func(o build) bool { return o.source == b.source && slices.Contains(o.names, name) }) {
				return other, b.source
			}
		}
	}
	return nil, ""
}

// parentSaid takes what another file says. What is only made before an image
// may be its parent where FROM leaves it open or names it by the tag.
func (s *images) parentSaid(img *image, sure bool) bool {
	for _, b := range img.said {
		if b.parent == "" || b.sure != sure {
			continue
		}
		p := s.match(img, parseReference(b.parent))
		ref, valid := parseReference(img.read.ground), validReference(img.read.ground)
		if p == nil || p == img || !sure && valid && !p.goesBy(strings.ToLower(ref.tag)) {
			continue
		}
		img.standOn(p, "%s says that it stands on %s.", b.source, b.parent)
		if valid && !p.goesBy(ref.name) && !p.goesBy(ref.tag) {
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
	if !p.goesBy(strings.ToLower(ref.name)) {
		img.because("Its owner's names are longer than those of the directories: %s is %s.", ref.name, p.name)
	}
	if pinned(ref.tag) && !p.liesAt(ref.tag) && !slices.ContainsFunc(p.calls, func(c call) bool { return c.name == ref.name && c.tag == ref.tag }) {
		img.doubt("FROM asks for the tag %q; the layer %s stands in for it.", ref.tag, p.name)
	}
	return p
}

// pinned reports whether a tag names one release.
func pinned(tag string) bool {
	return tag != "" && strings.ContainsAny(tag, "0123456789")
}
