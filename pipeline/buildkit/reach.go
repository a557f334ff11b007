package buildkit

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// CheckReach refuses a set-up that cannot work: a registry on loopback is this
// machine's own, and a BuildKit elsewhere would push to itself. registryHost is
// HOST or HOST:PORT. It contacts nobody.
func CheckReach(addresses []string, registryHost string) error {
	if !loopback(registryHost) {
		return nil
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("address of BuildKit: %w", err)
		}
		if u.Scheme != "unix" && !loopback(u.Host) {
			return fmt.Errorf("BuildKit at %s cannot push to the registry %s, which only this machine can reach: give a registry that both reach, or a BuildKit on this machine", address, registryHost)
		}
	}
	return nil
}

// loopback reports whether a host, with or without a port, is this machine's
// own loopback by its name or number alone.
func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}
