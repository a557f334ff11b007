package git

import "strings"

// maxRefName bounds a ref name in bytes; a file system allows no more in one
// component than 255.
const maxRefName = 1024

// tracked reports whether a ref is a branch or a tag, the only ones that mean
// anything here.
func tracked(name string) bool {
	return strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/")
}

// validRefName holds a name to the rules of git-check-ref-format(1).
func validRefName(name string) bool {
	if len(name) > maxRefName || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`~^:?*[\`, c) >= 0 {
			return false
		}
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || len(part) > 255 || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}
