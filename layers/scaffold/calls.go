package scaffold

import (
	"path"
	"regexp"
	"strings"
)

// call is what an image goes by in FROM lines: a name, and the tag where it
// takes one to tell variants apart.
type call struct {
	name string
	tag  string
	// weak calls count only where no other image has the name.
	weak bool
}

// camel finds the bounds of words in NodeBase, whose image is node-base.
var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// addCalls lists what FROM lines may call an image.
func (s *images) addCalls(img *image) {
	add := func(name, tag string, weak bool) {
		name = strings.ToLower(name)
		for n, c := range img.calls {
			if c.name == name && c.tag == tag {
				img.calls[n].weak = c.weak && weak
				return
			}
		}
		if name != "" {
			img.calls = append(img.calls, call{name, tag, weak})
		}
	}
	add(string(img.name), "", false)
	for _, b := range img.said {
		for _, name := range b.names {
			ref := parseReference(name)
			add(ref.name, ref.tag, false)
			add(ref.name, "", true)
		}
	}
	if name, _ := stem(path.Base(img.file.path)); name == "" && img.target == "" {
		for _, link := range s.aliases[img.dir()] {
			above, last := path.Split(link)
			if lower := strings.ToLower(last); above != "" && (versionLike.MatchString(lower) || variantLike.MatchString(lower)) {
				add(path.Base(above), last, false)
				continue
			}
			add(last, "", false)
		}
	}
	parts, variants := s.parts(img)
	if len(parts) == 0 {
		return
	}
	k := len(parts) - 1 - variants
	tag := strings.Join(parts[k+1:], "-")
	add(parts[k], tag, false)
	add(camel.ReplaceAllString(parts[k], "$1-$2"), tag, false)
	add(strings.Join(parts[k:], "-"), "", false)
	if k > 0 {
		add(strings.Join(parts[k-1:], "-"), "", false)
		add(parts[k-1]+"-"+parts[k], tag, false)
		add(parts[k-1], strings.Join(parts[k:], "-"), false)
	}
	if last := parts[len(parts)-1]; variants > 0 && !versionLike.MatchString(strings.ToLower(last)) {
		add(last, "", true)
	}
}
