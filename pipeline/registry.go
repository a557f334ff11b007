package pipeline

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// Registry is the part of an OCI registry that the pipeline needs. Repositories
// are given as HOST/PATH. Errors are the infrastructure's; that something is
// not there is an answer, not an error.
type Registry interface {
	// Digest resolves a tag or digest to the manifest's digest by one HEAD;
	// ok is false if the registry does not have it.
	Digest(ctx context.Context, repository, tagOrDigest string) (d digest.Digest, ok bool, err error)
	// Inspect reads manifest and configuration of an image; the blobs have no
	// Own set. For an index it takes the manifest of the platform.
	Inspect(ctx context.Context, repository string, d digest.Digest) (config []byte, blobs []Blob, err error)
	// Tag makes a tag point at a manifest of the same repository, or copies
	// the manifest from another repository of the same registry and mounts its
	// blobs, without pulling them.
	Tag(ctx context.Context, from string, d digest.Digest, to, tag string) error
	// TagOnce does the same for a tag that is never moved: it refuses to if
	// the tag points at another digest.
	TagOnce(ctx context.Context, from string, d digest.Digest, to, tag string) error
}

// Ledger decides which image a key has. It is given and gives repositories
// relative to the registry's prefix.
type Ledger interface {
	// Images returns what is recorded for the keys; unknown ones are left out.
	Images(ctx context.Context, keys []layers.Key) (map[layers.Key]Image, error)
	// Publish records an image under its key and returns the one that counts:
	// the first that was published.
	Publish(ctx context.Context, image Image) (Image, error)
	// Forget makes an image count no more, so that its key is free for another:
	// the registry has lost it, or what it stands on. History keeps its record.
	Forget(ctx context.Context, key layers.Key, d digest.Digest) error
}
