package daemon

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// cgroup is the control group that a daemon's containers are in.
func (o Options) cgroup() string {
	return filepath.Join(o.CgroupParent, fmt.Sprintf("lab-layers-%x", sha256.Sum256([]byte(o.Root)))[:27])
}

// sweepCgroups removes what containers left of a daemon's control group, in
// both versions' hierarchies. A group with a process in it stays, and so does
// one that we may not remove: neither does harm.
func sweepCgroups(group string) {
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		// The deepest go first.
		for _, below := range []string{"buildkit/*", "buildkit", ""} {
			left, _ := filepath.Glob(filepath.Join(hierarchy, group, below))
			for _, dir := range left {
				_ = os.Remove(dir)
			}
		}
	}
}
