package deploy

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// LayerImage is the image that a run gave to a layer.
type LayerImage struct {
	Ref    layers.Ref
	Commit layers.Commit
	Run    int64
	// Recorded is when the run ended.
	Recorded time.Time
	// Image is PATH@DIGEST, the path below the registry's prefix; empty if the
	// release has none of the layer.
	Image string
	// Lost is true if the registry has the image no more.
	Lost bool
}

// Digest is that of the image; empty if there is none.
func (i LayerImage) Digest() digest.Digest { return digestOf(i.Image) }

// Submission is what refs had of a layer at a moment, and what they got since.
type Submission struct {
	// Then are the releases that were the refs' newest at the moment, with the layer
	// or without it.
	Then []LayerImage
	// Since are the first releases of the refs after it that have the layer.
	Since []LayerImage
}

// At is what the track had at the moment; nil if it had no release.
func (s Submission) At(t Track) *LayerImage {
	releases := make([]Release, len(s.Then))
	for i, image := range s.Then {
		releases[i] = Release{Ref: image.Ref, Run: image.Run}
	}
	newest := t.Newest(releases)
	if newest == nil {
		return nil
	}
	i := slices.IndexFunc(s.Then, func(i LayerImage) bool { return i.Run == newest.Run })
	return &s.Then[i]
}

// First is the first that the track got since; nil if it got none yet.
func (s Submission) First(t Track) (first *LayerImage) {
	for i, image := range s.Since {
		if t.Newest([]Release{{Ref: image.Ref, Run: image.Run}}) != nil && (first == nil || image.Run < first.Run) {
			first = &s.Since[i]
		}
	}
	return first
}
