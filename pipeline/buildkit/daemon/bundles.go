package daemon

import (
	"os"
	"path/filepath"
)

// sweepBundles removes what runc was told of the steps that a daemon was at. Only files and empty directories go, so that nothing is deleted through a
// mount, should one be there.
func sweepBundles(root string) {
	for _, below := range []string{"*/*", "*"} { // the deepest go first
		left, _ := filepath.Glob(filepath.Join(root, "runc-*", "executor", below))
		for _, name := range left {
			_ = os.Remove(name)
		}
	}
}
