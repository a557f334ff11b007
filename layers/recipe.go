package layers

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"

	"github.com/distribution/reference"
)

// Recipe is everything that a build of one layer needs, independent of where
// it is built. It is made by the planner, from the same conversion that made
// the layer's key.
type Recipe struct {
	layer   Layer
	graph   *graph
	tree    Tree // Root is the context directory
	filter  contextFilter
	files   [32]byte // identity of the files
	outside Outside  // as it answered the planner
	salt    string
}

// Solvable is a recipe bound to its parent: what BuildKit solves.
type Solvable struct {
	Definition *llb.Definition
	// Image is the image configuration (JSON) to export.
	Image []byte
	// BaseImage is the configuration (JSON) of the image that Image stands
	// on; nil on scratch.
	BaseImage []byte
	// LocalName is the name under which the definition asks for Files; empty
	// if it reads no local files.
	LocalName string
	// Files is exactly what the definition may read of the repository: sorted
	// as fsutil wants it, uid and gid 0, one constant modification time.
	Files fsutil.FS
}

// Bind makes the recipe ready to be solved on a parent image, given as a
// canonical reference (HOST/REPOSITORY@DIGEST) and its configuration (JSON).
// Both are empty for a layer without a parent layer. Cache mounts of RUN
// instructions are shared within a namespace; it is no part of the key. Files
// are there for as long as the context.
func (r *Recipe) Bind(ctx context.Context, parentRef string, parentConfig []byte, cacheNamespace string) (*Solvable, error) {
	s := &Solvable{}
	src := r.graph.src
	src.parentConfig = parentConfig
	src.cacheNamespace = cacheNamespace
	var name string
	var parentDigest digest.Digest
	if src.parent != "" {
		named, err := reference.ParseNormalizedNamed(parentRef)
		if err != nil {
			return nil, fmt.Errorf("bind %s: parent %q: %w", r.layer.Name, parentRef, err)
		}
		canonical, ok := named.(reference.Canonical)
		if !ok {
			return nil, fmt.Errorf("bind %s: parent %q has no digest", r.layer.Name, parentRef)
		}
		name, parentDigest = named.Name(), canonical.Digest()
	}
	var main *llb.State
	if r.graph.local {
		files, err := r.filter.over(ctx, contextFS{tree: r.tree})
		if err != nil {
			return nil, fmt.Errorf("bind %s: context: %w", r.layer.Name, err)
		}
		s.LocalName, s.Files = localName, files
		// BuildKit keeps what it was sent last under this hint, and takes a
		// file with the size and time it had before as unchanged. Times here
		// are constant, so the hint must be the content's own name.
		state := llb.Local(localName, llb.SharedKeyHint(hex.EncodeToString(r.files[:])),
			llb.WithCustomName("[internal] load build context"))
		main = &state
	}
	c, err := convert(ctx, src, name, parentDigest, r.outside, main)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", r.layer.Name, err)
	}
	if c.def, err = salted(c.def, r.salt); err != nil {
		return nil, fmt.Errorf("bind %s: %w", r.layer.Name, err)
	}
	s.Definition, s.Image, s.BaseImage = c.def, c.image, c.base
	return s, nil
}

// OnParent reports whether the build needs a parent layer's image.
func (r *Recipe) OnParent() bool { return r.graph.src.parent != "" }

// OutsideBase is the image from outside that a layer without a parent layer
// stands on: its reference, and its digest if it was looked up. Both are empty
// on scratch.
func (r *Recipe) OutsideBase() (ref string, d digest.Digest) {
	for _, use := range r.graph.outside {
		if use.Ref == r.graph.ground {
			return use.Ref, use.Digest
		}
	}
	return "", ""
}
