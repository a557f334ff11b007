package deploy

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
)

// RefState is where the builds of a ref stand.
type RefState struct {
	// Repository is its URL.
	Repository string
	Ref        layers.Ref
	// Commit and Run are those of the ref's last run.
	Commit layers.Commit
	Run    int64
	// Open is true until that run has ended.
	Open bool
	// Problem is why it ended otherwise than well, in one line.
	Problem string
	// Told is the last run that ended with layers, and Released the last that
	// succeeded; 0 if there is none.
	Told, Released int64
}

// BuiltLayer is how a layer stands at a ref.
type BuiltLayer struct {
	// Told is the run that it is told of.
	Told  int64
	Layer layers.Name
	// Key is that of the run's commit.
	Key layers.Key
	// Image is the newest: PATH@DIGEST, the path below the registry's prefix;
	// empty if there is none. Commit is the one it was recorded for, at the
	// time Recorded.
	Image    string
	Commit   layers.Commit
	Recorded time.Time
	// Failed is true if the run has no image of it.
	Failed bool
	// Reason is why it failed, or was built; in one line.
	Reason string
}

// Digest is that of the image; empty if there is none.
func (b BuiltLayer) Digest() digest.Digest { return digestOf(b.Image) }
