package scaffold

import "strings"

// affix is a word that an owner puts before or after the names of images whose
// directories go without: cp-kafka is made in the directory kafka.
type affix struct {
	owner  string // the reference's prefix
	word   string
	behind bool // after the name
}

// affixUse is how often references with an affix mean layers.
type affixUse struct {
	meant   map[string]bool // names of layers that they seem to mean
	foreign map[string]bool // names that no layer has
}

// maxAffixes bounds the words tried of one name.
const maxAffixes = 8

// findAffixes learns the affixes from the references that no layer goes by.
// One counts if it explains several names and fails for fewer, or if it
// explains all that the repository takes from that owner.
func (s *images) findAffixes() {
	use := map[affix]*affixUse{}
	strange := map[string]map[string]bool{} // names by owner that nothing explains
	for _, img := range s.list {
		if img.leftOut != "" {
			continue
		}
		for _, text := range append([]string{img.read.ground}, img.read.others...) {
			ref := parseReference(text)
			if ref.digest != "" || !validReference(text) || ref.prefix == "" && official[ref.name] || published(ref.prefix) || s.matchCalls(img, ref) != nil {
				continue
			}
			explained := false
			for _, split := range splits(ref) {
				if use[split.affix] == nil {
					use[split.affix] = &affixUse{meant: map[string]bool{}, foreign: map[string]bool{}}
				}
				if p := s.matchRest(img, split, ref.tag); p != nil && p != img {
					use[split.affix].meant[split.rest] = true
					explained = true
				} else {
					use[split.affix].foreign[split.rest] = true
				}
			}
			if !explained {
				if strange[ref.prefix] == nil {
					strange[ref.prefix] = map[string]bool{}
				}
				strange[ref.prefix][ref.name] = true
			}
		}
	}
	s.affixes = map[affix]bool{}
	for a, u := range use {
		several := len(u.meant) > 1 && len(u.meant) > len(u.foreign)
		all := len(u.meant) > 0 && len(u.foreign) == 0 && len(strange[a.owner]) == 0
		s.affixes[a] = several || all
	}
}

// split is a name with an affix cut off.
type split struct {
	affix
	rest string
}

// splits lists the ways to cut a word off, the longest rest first.
func splits(ref reference) []split {
	name := strings.ToLower(ref.name)
	var list []split
	for i := 0; i < len(name) && len(list) < maxAffixes; i++ {
		if strings.ContainsAny(name[i:i+1], "-_") && i > 0 && i < len(name)-1 {
			list = append(list, split{affix{ref.prefix, name[:i], false}, name[i+1:]})
		}
	}
	for i := len(name) - 1; i >= 0 && len(list) < 2*maxAffixes; i-- {
		if strings.ContainsAny(name[i:i+1], "-_") && i > 0 && i < len(name)-1 {
			list = append(list, split{affix{ref.prefix, name[i+1:], true}, name[:i]})
		}
	}
	return list
}

// matchAffixed is match for a reference whose affix is known.
func (s *images) matchAffixed(img *image, ref reference) *image {
	for _, split := range splits(ref) {
		if s.affixes[split.affix] {
			if p := s.matchRest(img, split, ref.tag); p != nil && p != img {
				return p
			}
		}
	}
	return nil
}

// matchRest finds the image that goes by what an affix leaves. A variant that
// the affix names, such as rpm in cp-rpm-kafka, comes first.
func (s *images) matchRest(img *image, split split, tag string) *image {
	for _, word := range strings.FieldsFunc(split.word, func(r rune) bool { return r == '-' || r == '_' }) {
		for _, other := range s.byCall[split.rest] {
			for _, c := range other.calls {
				if other != img && c == (call{split.rest, word, false}) {
					return other
				}
			}
		}
	}
	p := s.matchCalls(img, reference{name: split.rest, tag: tag})
	if p == nil || !p.goesBy(split.rest) {
		return nil
	}
	return p
}
