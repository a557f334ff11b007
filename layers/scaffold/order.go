package scaffold

import (
	"cmp"
	"path"
	"slices"

	"github.com/lab-layers/lab-layers/layers"
)

// breakCycles cuts the references by which an image would stand on itself.
func (s *images) breakCycles() {
	state := map[*image]int{} // 1 being visited, 2 done
	for _, img := range s.list {
		var trail []*image
		for at := img; at != nil && state[at] != 2; at = at.parent {
			if state[at] == 1 {
				last := trail[len(trail)-1]
				last.doubt("It would stand on %s, which stands on it: taken as standing on an image from outside.", at.name)
				last.standOutside()
				break
			}
			state[at] = 1
			trail = append(trail, at)
		}
		for _, at := range trail {
			state[at] = 2
		}
	}
}

// parentsFirst sorts the images so that parents stand before their children,
// and otherwise as their Dockerfiles lie.
func (s *images) parentsFirst() []*image {
	list := slices.Clone(s.list)
	slices.SortStableFunc(list, func(a, b *image) int {
		return cmp.Or(cmp.Compare(a.depth(), b.depth()), cmp.Compare(a.order, b.order))
	})
	return list
}

// depth is how many images of the repository lie below.
func (i *image) depth() int {
	n := 0
	for p := i.parent; p != nil; p = p.parent {
		n++
	}
	return n
}

// fill writes the images into a proposal: each layer after its parent, as near
// to it as can be.
func (s *images) fill(p *Proposal) {
	children := map[*image][]*image{}
	for _, img := range s.list {
		if img.leftOut == "" {
			children[img.parent] = append(children[img.parent], img)
		}
	}
	level := children[nil]
	for len(level) > 0 {
		var next []*image
		for _, img := range level {
			p.Layers = append(p.Layers, img.layer())
			next = append(next, children[img]...)
		}
		level = next
	}
	for _, img := range s.list {
		if img.leftOut != "" {
			l := img.layer()
			p.LeftOut = append(p.LeftOut, LeftOut{Dockerfile: img.file.path, Reason: img.leftOut, Layer: &l})
		}
	}
	p.LeftOut = append(p.LeftOut, s.broken...)
	slices.SortStableFunc(p.LeftOut, func(a, b LeftOut) int { return cmp.Compare(a.Dockerfile, b.Dockerfile) })
}

// dockerfileIsDefault reports whether the layer's Dockerfile is the one that a
// context has by default.
func dockerfileIsDefault(l layers.Layer) bool {
	return l.Dockerfile == path.Join(l.Context, "Dockerfile")
}
