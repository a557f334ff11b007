package pipeline

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/layers"
)

// Image is a built layer, as the registry has it.
type Image struct {
	Key layers.Key `json:"key"`
	// Repository is where it was first published: HOST/PREFIX/LAYER.
	Repository string `json:"repository"`
	// Digest of the platform's manifest: the image's identity.
	Digest digest.Digest `json:"digest"`
	// Index is the digest of the index that carries attestations for Digest;
	// empty if there is none.
	Index digest.Digest `json:"index,omitempty"`
	// Config is the OCI image configuration (JSON), exactly as published.
	Config []byte `json:"-"`
	// Parent is the digest of the image it stands on; empty on scratch.
	Parent digest.Digest `json:"parent,omitempty"`
	// ParentRef names that image for people.
	ParentRef string `json:"parent_ref,omitempty"`
	// Blobs from the lowest to the topmost, those of the parent included.
	Blobs []Blob `json:"blobs"`
	// Metadata is what can be said of the content.
	Metadata Metadata `json:"metadata"`
}

// Ref is the canonical reference of the image: REPOSITORY@DIGEST.
func (i Image) Ref() string { return i.Repository + "@" + i.Digest.String() }

// Environment is the variables of the image's configuration. A configuration
// that cannot be read has none.
func (i Image) Environment() map[string]string {
	var config ocispecs.Image
	if json.Unmarshal(i.Config, &config) != nil {
		return nil
	}
	env := map[string]string{}
	for _, line := range config.Config.Env {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	return env
}

// on reports whether the image stands on its parent layer's image, as far as
// both are known. Where the registry lost the parent's image, and the key's next
// came out otherwise, a child may stand on the lost one still.
func (i Image) on(parent *Image) bool {
	return parent == nil || i.Parent == "" || i.Parent == parent.Digest
}

// Blob is one file-system layer of an image.
type Blob struct {
	Digest    digest.Digest `json:"digest"`
	DiffID    digest.Digest `json:"diff_id"`
	MediaType string        `json:"media_type"`
	// Size in bytes, as stored (compressed).
	Size int64 `json:"size"`
	// Own is false for a blob that the parent image already has.
	Own bool `json:"own"`
}

// Metadata is what an image was found to hold, each with the evidence for it.
type Metadata struct {
	// Frameworks found, the most specific first.
	Frameworks []Finding `json:"frameworks"`
	// CUDA is the CUDA version the image brings, such as 12.4, or 12 where
	// nothing showed more.
	CUDA *Finding `json:"cuda,omitempty"`
	// GPU has the name GPUNone, GPURequired or GPUUnknown; empty is unknown too.
	GPU Finding `json:"gpu"`
	// Driver is the lowest NVIDIA driver that the image needs, such as
	// 525.60.13; nil is unknown, or not needed if GPU is GPUNone.
	Driver *Finding `json:"driver,omitempty"`
	// Evidence is everything in the image's files that the above follows from,
	// that of its parents included: a child's survey starts from it.
	Evidence []Finding `json:"evidence,omitempty"`
	// Incomplete says why something may have been missed; empty if all of the
	// image was looked at.
	Incomplete string `json:"incomplete,omitempty"`
}

// What a GPU is to an image, as far as its content shows.
const (
	// GPUNone: its frameworks are builds without CUDA. No driver is needed.
	GPUNone = "none"
	// GPURequired: it brings CUDA, which needs a driver.
	GPURequired = "required"
	// GPUUnknown: nothing showed either.
	GPUUnknown = "unknown"
)

// Finding is a name with a version and what showed it.
type Finding struct {
	Name string `json:"name"`
	// Version is empty if nothing showed it.
	Version  string `json:"version,omitempty"`
	Evidence string `json:"evidence"`
}
