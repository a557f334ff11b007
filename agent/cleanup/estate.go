package cleanup

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Estate is what the records say at one moment of what the registry holds.
type Estate struct {
	// Now is that moment, by the clock of the records.
	Now       time.Time
	Snapshots []Snapshot
	Images    []Image
	Tags      []Tag
	Running   []Use
}

// Use is an image that an environment has, is rolled to, may go back to, or is
// pinned to.
type Use struct {
	// Digest is the image's, or that of the index that carries its attestations.
	Digest digest.Digest
	// Gone is when the environment was found gone; zero if it is there.
	Gone time.Time
}

// Snapshot is the images of one commit.
type Snapshot struct {
	Repository agent.RepositoryID
	Commit     layers.Commit
	// Taken is when a run last had these images.
	Taken  time.Time
	Images []int64 // ids
	// Heads are the refs that are at the commit now.
	Heads []layers.Ref
	// Waiting is true if a run for the commit has not ended.
	Waiting bool
	// Turns say of each lasting ref that was at the commit, one that gives tags
	// which do not expire, how many of its commits came since.
	Turns map[layers.Ref]int
}

// Image is a recorded image that was not removed yet.
type Image struct {
	ID  int64
	Key layers.Key
	// Repository is relative to the registry's prefix.
	Repository string
	Digest     digest.Digest
	Index      digest.Digest // that carries its attestations; empty without
	Parent     digest.Digest // that it stands on; empty if unknown
	// Since is when it was recorded, or ceased to count.
	Since time.Time
	// Size of its own blobs in bytes.
	Size int64
}

// Tag is a recorded tag.
type Tag struct {
	// Repository is HOST/PREFIX/LAYER.
	Repository string
	Name       string
	Digest     digest.Digest
	// Ref and Commit of the move that gave it.
	Of     agent.RepositoryID
	Ref    layers.Ref
	Commit layers.Commit
	Moved  time.Time
	// Expires is zero for a lasting tag.
	Expires time.Time
	// Gone is when the ref was deleted; zero if it is there.
	Gone time.Time
}

// Listing is the tags that the registry has, by repository (HOST/PREFIX/LAYER)
// and name.
type Listing map[string]map[string]Target

// Target is what a tag points at.
type Target struct {
	Digest digest.Digest
	// Holds are the manifests in an index.
	Holds []digest.Digest
}
