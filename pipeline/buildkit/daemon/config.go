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

// writeConfig writes the daemon's configuration. With a file of its own the
// daemon does not read the machine's /etc/buildkit/buildkitd.toml.
func writeConfig(path string, o Options) error {
	var b strings.Builder
	// The history of builds is in our own records; keeping it twice costs
	// milliseconds a build.
	b.WriteString("[history]\nmaxEntries = 0\n\n[worker.oci]\ngc = true\n")
	fmt.Fprintf(&b, "defaultCgroupParent = %q\n", cgroup(o.Root))
	if o.MaxUsedSpace > 0 {
		fmt.Fprintf(&b, "maxUsedSpace = \"%d\"\n", o.MaxUsedSpace)
	}
	for _, host := range o.PlainHTTP {
		if !registryHost.MatchString(host) {
			return fmt.Errorf("registry %q: want HOST or HOST:PORT", host)
		}
		fmt.Fprintf(&b, "\n[registry.%q]\nhttp = true\n", host)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
