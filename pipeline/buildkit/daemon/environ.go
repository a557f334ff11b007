package daemon

import (
	"slices"
	"strings"
)

// needed are the variables that a daemon goes by: where its programs and home
// are, the way to registries, and its own settings.
var needed = []string{
	"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
}

// environ takes what a daemon needs out of an environment. The rest may hold
// secrets, such as a database's URL, and builds run below the daemon.
func environ(all []string) (own []string) {
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(needed, name) || strings.HasPrefix(name, "BUILDKIT_") {
			own = append(own, variable)
		}
	}
	if !slices.ContainsFunc(own, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		own = append(own, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return own
}
