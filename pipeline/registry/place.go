package registry

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
)

// place is a repository, and a tag or digest in it.
type place struct {
	repo      name.Repository
	reference string
}

// tagPattern is the distribution specification's.
var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// repository checks a name before it becomes part of an address.
func (c *Client) repository(s string) (place, error) {
	host, _, _ := strings.Cut(s, "/")
	options := []name.Option{name.StrictValidation}
	if c.mayBePlain(host) {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(s, options...)
	if err == nil {
		_, err = reference.WithName(s) // stricter: no dots alone, no empty parts
	}
	if err != nil {
		return place{}, fmt.Errorf("repository %q is not HOST/PATH: %w", s, err)
	}
	return place{repo: repo}, nil
}

// tagged is a tag of a repository, whether it exists or not.
func (c *Client) tagged(repository, tag string) (place, error) {
	at, err := c.repository(repository)
	if err == nil && !tagPattern.MatchString(tag) {
		err = fmt.Errorf("%s: %q cannot be a tag", repository, tag)
	}
	at.reference = tag
	return at, err
}

// digested is a digest in a repository, whether it exists or not.
func (c *Client) digested(repository string, d digest.Digest) (place, error) {
	at, err := c.repository(repository)
	if err == nil && (d.Validate() != nil || d.Algorithm() != digest.SHA256) {
		err = fmt.Errorf("%s: %q is not a sha256 digest", repository, d)
	}
	at.reference = d.String()
	return at, err
}

// referred is either, by the colon that only a digest has.
func (c *Client) referred(repository, tagOrDigest string) (place, error) {
	if strings.Contains(tagOrDigest, ":") {
		return c.digested(repository, digest.Digest(tagOrDigest))
	}
	return c.tagged(repository, tagOrDigest)
}

// ref is the place as go-containerregistry knows it.
func (p place) ref() name.Reference {
	if strings.Contains(p.reference, ":") {
		return p.repo.Digest(p.reference)
	}
	return p.repo.Tag(p.reference)
}
