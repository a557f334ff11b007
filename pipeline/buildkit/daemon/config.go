package daemon

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// registryHost is HOST or HOST:PORT. It also keeps out what would need
// escaping in the configuration.
var registryHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

// cacheSize and cgroupParent are what BuildKit takes, less what would need
// escaping.
var (
	cacheSize    = regexp.MustCompile(`^[1-9][0-9]*([KMGT]i?B|%)$`)
	cgroupParent = regexp.MustCompile(`^/?[A-Za-z0-9_@.:-]+(/[A-Za-z0-9_@.:-]+)*$`)
)

// Check says what is wrong with the options that a person gives.
func (o Options) Check() error {
	if o.CacheSize != "" && !cacheSize.MatchString(o.CacheSize) {
		return fmt.Errorf("size of the build cache %q: want a size such as 200GB, or a part of the disk such as 30%%", o.CacheSize)
	}
	if o.CgroupParent != "" && (!cgroupParent.MatchString(o.CgroupParent) || strings.Contains("/"+o.CgroupParent+"/", "/../")) {
		return fmt.Errorf("control group %q: want its path in the hierarchy, such as labs.slice or labs/builds", o.CgroupParent)
	}
	for _, host := range o.PlainHTTP {
		if !registryHost.MatchString(host) {
			return fmt.Errorf("registry %q: want HOST or HOST:PORT", host)
		}
	}
	return nil
}

// writeConfig writes the daemon's configuration. With a file of its own the
// daemon does not read the machine's /etc/buildkit/buildkitd.toml.
func writeConfig(path string, o Options) error {
	var b strings.Builder
	// The history of builds is in our own records; keeping it twice costs
	// milliseconds a build.
	b.WriteString("[history]\nmaxEntries = 0\n\n[worker.oci]\ngc = true\n")
	fmt.Fprintf(&b, "defaultCgroupParent = %q\n", o.cgroup())
	if o.CacheSize != "" {
		fmt.Fprintf(&b, "maxUsedSpace = %q\nminFreeSpace = \"10%%\"\n", o.CacheSize)
	}
	for _, host := range o.PlainHTTP {
		fmt.Fprintf(&b, "\n[registry.%q]\nhttp = true\n", host)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
