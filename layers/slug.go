package layers

import (
	"encoding/hex"
	"regexp"
	"strings"
)

// maxTag is how long a tag may be.
const maxTag = 128

// reservedPrefix begins the tags that name images by their key.
const reservedPrefix = "key-"

var (
	// tagPattern is a tag as a reference (OCI distribution specification 1.1,
	// "Pulling manifests").
	tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	// hashTail ends a slug that carries a hash.
	hashTail = regexp.MustCompile(`-[0-9a-f]{16}$`)
	// commitTail ends a tag such as main-0123456789ab.
	commitTail = regexp.MustCompile(`-[0-9a-f]{12}$`)
	// The slugs feature-… and experiment-… belong to the branches feature/…
	// and experiment/….
	directory     = regexp.MustCompile(`^(feature|experiment)/`)
	directorySlug = regexp.MustCompile(`^(feature|experiment)-`)
	notInTags     = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)
)

// Slug makes a tag of the name of a branch or Git tag. A name that is a valid
// tag stays as it is; feature/x and experiment/x become feature-x and
// experiment-x. Every other name, and every name that would look like the slug
// of another, like a tag that ends in a commit, or like one of our own
// ("key-…"), is made readable and gets 64 bits of its SHA-256 sum as 16
// hexadecimal digits. So no two names have one slug.
//
// Tags differ in upper and lower case, as registries have it.
func Slug(name string) string {
	slug := directory.ReplaceAllString(name, "$1-")
	taken := slug == name && directorySlug.MatchString(name)
	if taken || !validTag(slug) || hashTail.MatchString(slug) || commitTail.MatchString(slug) {
		return suffixed(name, "slug", name)
	}
	return slug
}

// unslug returns the name that has a slug without a hash.
func unslug(slug string) (name string, ok bool) {
	name = slug
	if directorySlug.MatchString(slug) {
		name = strings.Replace(slug, "-", "/", 1)
	}
	return name, Slug(name) == slug
}

// validTag reports whether a ref may give a tag.
func validTag(tag string) bool {
	return tagPattern.MatchString(tag) && !strings.HasPrefix(tag, reservedPrefix)
}

// suffixed is a tag that looks like the text as far as it can, and ends in a
// hash of what it stands for.
func suffixed(text, sort string, identity ...string) string {
	if len(text) > maxTag { // a name may be long, and only its start is seen
		text = text[:maxTag]
	}
	readable := strings.TrimLeft(notInTags.ReplaceAllString(text, "-"), "-.")
	if strings.HasPrefix(readable, reservedPrefix) {
		readable = "ref-" + readable
	}
	h := newHash(sort)
	h.texts(identity)
	sum := h.sum()
	tail := "-" + hex.EncodeToString(sum[:8])
	readable = strings.TrimRight(readable[:min(len(readable), maxTag-len(tail))], "-.")
	if readable == "" {
		readable = "ref"
	}
	return readable + tail
}
