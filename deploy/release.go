package deploy

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// Release is the newest images of a ref: those of its last run that succeeded.
type Release struct {
	// Repository is its URL.
	Repository string        `json:"repository"`
	Ref        layers.Ref    `json:"ref"`
	Commit     layers.Commit `json:"commit"`
	// Run is the id of the run that made it.
	Run      int64     `json:"run"`
	Recorded time.Time `json:"recorded"`
	// Images by layer: PATH@DIGEST, the path below the registry's prefix.
	Images map[layers.Name]string `json:"images"`
	// Parents by layer: the layer of the release that its image stands on. One
	// that stands on an image from outside has none.
	Parents map[layers.Name]layers.Name `json:"parents,omitempty"`
}

// base is the lowest layer that a layer's image stands on.
func (r Release) base(layer layers.Name) layers.Name {
	for range len(r.Parents) + 1 { // labels, which anybody can write, could make a circle
		parent, ok := r.Parents[layer]
		if !ok {
			break
		}
		layer = parent
	}
	return layer
}

// NoImage stands in a workload that was made before there was an image for it.
// It is never gone back to.
const NoImage = "lab-layers.invalid/no-image-yet"

// digestOf is the digest that a reference ends in; empty if it is pinned to
// none.
func digestOf(image string) digest.Digest {
	_, text, _ := strings.Cut(image, "@")
	d := digest.Digest(text)
	if d.Validate() != nil {
		return ""
	}
	return d
}

// sameImage reports whether two references are to the same content. Where
// either is pinned to no digest it takes equal texts: a tag may move.
func sameImage(a, b string) bool {
	if d := digestOf(a); d != "" {
		return d == digestOf(b)
	}
	return a == b
}
