package scaffold

import "fmt"

// prefixes tells the repository's own registry and owner from other people's,
// by how FROM lines use them.
type prefixes struct {
	use map[string]*prefixUse
}

// common are names that images of many owners have.
var common = words(`base base-image static core runtime python cuda notebook jupyter
	pytorch tensorflow rstudio gpu cpu builder server app hub test dev`)

// prefixUse is how a prefix is used by the repository.
type prefixUse struct {
	said    bool            // another file builds an image under it
	meant   map[string]bool // layers that others' FROM lines seem to mean by it
	self    *image          // an image that stands on its own name under it
	foreign map[string]bool // names under it that no layer has
}

// ownPrefixes looks at every reference of the layers.
func (s *images) ownPrefixes() *prefixes {
	p := &prefixes{use: map[string]*prefixUse{}}
	at := func(prefix string) *prefixUse {
		if p.use[prefix] == nil {
			p.use[prefix] = &prefixUse{meant: map[string]bool{}, foreign: map[string]bool{}}
		}
		return p.use[prefix]
	}
	for _, img := range s.list {
		if img.leftOut != "" {
			continue
		}
		for _, b := range img.said {
			for _, name := range b.names {
				if ref := parseReference(name); ref.prefix != "" {
					at(ref.prefix).said = true
				}
			}
		}
		for _, text := range append([]string{img.read.ground}, img.read.others...) {
			ref := parseReference(text)
			if ref.name == "" || ref.name == "scratch" || ref.digest != "" {
				continue
			}
			switch use, other := at(ref.prefix), s.match(img, ref); {
			case other == nil:
				use.foreign[ref.name] = true
			case other == img:
				use.self = img
			default:
				use.meant[ref.name] = true
			}
		}
	}
	return p
}

// owns decides whether a reference that has a layer's name means the layer,
// and tells the doubt about it.
func (p *prefixes) owns(ref reference, layer *image) (ok bool, doubt string) {
	use := p.use[ref.prefix]
	if use == nil {
		use = &prefixUse{}
	}
	for _, b := range layer.said {
		for _, name := range b.names {
			if said := parseReference(name); said.prefix == ref.prefix && said.name == ref.name {
				return true, ""
			}
		}
	}
	if ref.prefix == "" {
		if official[ref.name] {
			return false, "Docker publishes an official image of that name"
		}
		return true, ""
	}
	switch {
	case use.said:
		return true, ""
	case use.self != nil:
		return false, fmt.Sprintf("%s stands on its own name there, so %s/ is somebody else's", use.self.name, ref.prefix)
	case published(ref.prefix) && len(use.meant) < 2:
		return false, fmt.Sprintf("%s/ is a well-known publisher", ref.prefix)
	case published(ref.prefix) && len(use.foreign) >= len(use.meant):
		return false, fmt.Sprintf("%s/ also has images that no layer makes", ref.prefix)
	case len(use.meant) < 2 && len(use.foreign) > 0 && common[ref.name]:
		return false, fmt.Sprintf("%s/ also has images that no layer makes, and many have one of that name", ref.prefix)
	case len(use.meant) < 2 && len(use.foreign) > 0:
		return true, fmt.Sprintf("%s/ also has images that no layer makes", ref.prefix)
	}
	return true, ""
}
