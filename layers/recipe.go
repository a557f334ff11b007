package layers

import (
	"context"

	"github.com/moby/buildkit/client/llb"
	"github.com/tonistiigi/fsutil"
)

// Recipe is everything that a build of one layer needs, independent of where
// it is built. It is made by the planner, from the same conversion that made
// the layer's key.
type Recipe struct {
	// unexported parts
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
	// Secrets and SSH are the ids that may be asked for.
	Secrets []string
	SSH     []string
	// Fault returns the first error met while Files was read: BuildKit turns
	// such an error into an empty or truncated file and goes on, so a build
	// has failed if this is not nil, whatever BuildKit says.
	Fault func() error
}

// Bind makes the recipe ready to be solved on a parent image, given as a
// canonical reference (HOST/REPOSITORY@DIGEST) and its configuration (JSON).
// Both are empty for a layer without a parent layer.
func (r *Recipe) Bind(ctx context.Context, parentRef string, parentConfig []byte) (*Solvable, error) {
	panic("not yet")
}
