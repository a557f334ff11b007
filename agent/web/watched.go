package web

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// watched finds repositories by any of the URLs that a forge gives them.
type watched map[string][]string

func newWatched(urls []string) watched {
	w := watched{}
	for _, u := range urls {
		w[place(u)] = append(w[place(u)], u)
	}
	return w
}

// find returns the watched repositories at the first of some URLs that leads to
// any.
func (w watched) find(urls []string) []string {
	for _, u := range urls {
		if found := w[place(u)]; u != "" && len(found) > 0 {
			return found
		}
	}
	return nil
}

// scpLike is HOST:PATH and USER@HOST:PATH.
var scpLike = regexp.MustCompile(`^(?:[^@/:]+@)?(\[[0-9a-fA-F:]+\]|[^@/:\[\]]+):([^:].*)$`)

// place is what the URLs of one repository have in common: host and path. A
// forge serves it on several ports by several schemes, so these do not count,
// nor does a user, a ".git" or a slash at the end. A path on this machine has
// no host.
func place(address string) string {
	host, at := "", address
	if m := scpLike.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		host, at = m[1], m[2]
	} else if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil {
			return ""
		}
		host, at = u.Hostname(), u.Path
		if strings.EqualFold(u.Scheme, "file") {
			host = ""
		}
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	at = strings.TrimSuffix(path.Clean("/"+at), ".git")
	return host + strings.TrimSuffix(at, "/")
}
