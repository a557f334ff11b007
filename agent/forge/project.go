package forge

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Project is a repository on a forge.
type Project struct {
	// Host is without a port.
	Host string
	// Owner has several parts on GitLab, where groups have groups.
	Owner, Name string
}

func (p Project) String() string { return p.Owner + "/" + p.Name }

// scpLike is HOST:PATH and USER@HOST:PATH.
var scpLike = regexp.MustCompile(`^(?:[^@/:]+@)?(\[[0-9a-fA-F:]+\]|[^@/:\[\]]+):([^:].*)$`)

// ParseProject finds out which project a repository's URL is of. The path
// prefix, of a forge that is not at its host's root, is left out where the URL
// has it.
func ParseProject(address, prefix string) (Project, error) {
	var p Project
	at := ""
	if m := scpLike.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		p.Host, at = strings.Trim(m[1], "[]"), m[2]
	} else if u, err := url.Parse(address); err == nil && u.Scheme != "file" {
		p.Host, at = u.Hostname(), u.Path
	}
	if p.Host == "" {
		return p, fmt.Errorf("%s is on no forge: its URL has no host", address)
	}
	p.Host = strings.ToLower(p.Host)
	at = strings.TrimSuffix(path.Clean("/"+at), ".git")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		if within, ok := strings.CutPrefix(at, "/"+prefix+"/"); ok {
			at = "/" + within
		}
	}
	owner, name := path.Split(at)
	p.Owner, p.Name = strings.Trim(owner, "/"), name
	if p.Owner == "" || p.Name == "" {
		return p, fmt.Errorf("%s names no OWNER/NAME on a forge", address)
	}
	return p, nil
}
