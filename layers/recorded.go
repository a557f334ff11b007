package layers

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Recorded is what a layer once was.
type Recorded struct {
	Key Key
	// Outside has the images from outside that its Dockerfile named, and the
	// digests that they had then.
	Outside map[string]digest.Digest
	// Salt is what there was then, as far as that is known.
	Salt string
}

// Outside is the images from outside that the layer's Dockerfile names, and
// their digests; those that could not be looked up are left out. One that is not
// there, which is a fault of the layer, has no digest.
func (l *PlannedLayer) Outside() map[string]digest.Digest {
	if l.missing != "" {
		return map[string]digest.Digest{l.missing: ""}
	}
	if l.inputs == nil {
		return nil
	}
	var images map[string]digest.Digest
	for _, use := range l.inputs.graph.outside {
		if use.Digest != "" {
			if images == nil {
				images = map[string]digest.Digest{}
			}
			images[use.Ref] = use.Digest
		}
	}
	return images
}

// imageScheme begins the identifier of a source that is an image.
const imageScheme = "docker-image://"

// outside reports whether an op is an image from outside.
func (o op) outside() bool { return !o.parent && strings.HasPrefix(o.source, imageScheme) }

// as is a layer planned again with the images from outside and the parent that
// were recorded. It is good to compare with, not to build.
func (l *PlannedLayer) as(record Recorded, all map[Name]Recorded) *PlannedLayer {
	was, in, g := *l, *l.inputs, *l.inputs.graph
	was.Key, was.inputs, in.graph = record.Key, &in, &g
	if parent, ok := all[in.layer.Parent]; ok && in.parentKey != "" {
		in.parentKey = parent.Key
	}
	g.outside, g.ops = slices.Clone(g.outside), slices.Clone(g.ops)
	for i := range g.outside {
		use := &g.outside[i]
		then, ok := record.Outside[use.Ref]
		if !ok || then == use.Digest {
			continue
		}
		for j := range g.ops {
			if g.ops[j].source == imageScheme+use.Ref+"@"+string(use.Digest) {
				g.ops[j].own = sha256.Sum256([]byte(then))
			}
		}
		use.Digest = then
	}
	return &was
}
