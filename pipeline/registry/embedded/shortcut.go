package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Shortcut is a client of this registry that looks digests up and tags images
// without a request: a push asks for little else, once for each layer. It
// works through distribution's own storage, as the registry does, and keeps
// nothing in memory. All else, and all that is another registry's, is the
// client's.
func (r *Registry) Shortcut(client pipeline.Registry) pipeline.Registry {
	return shortcut{client, r}
}

type shortcut struct {
	pipeline.Registry
	own *Registry
}

func (s shortcut) Digest(ctx context.Context, repository, tagOrDigest string) (digest.Digest, bool, error) {
	d, ok, err := s.own.digest(ctx, repository, tagOrDigest)
	switch {
	case errors.Is(err, errElsewhere):
		return s.Registry.Digest(ctx, repository, tagOrDigest)
	case err != nil:
		return "", false, fmt.Errorf("look up %s in %s: %w", tagOrDigest, repository, err)
	}
	s.own.log.Debug("embedded registry", "event", "looked up", "repository", repository, "reference", tagOrDigest, "found", ok)
	return d, ok, nil
}

func (s shortcut) Tag(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	err := errElsewhere // a copy is
	if from == to {
		err = s.own.tag(ctx, to, d, tag)
	}
	switch {
	case errors.Is(err, errElsewhere):
		return s.Registry.Tag(ctx, from, d, to, tag)
	case err != nil:
		return fmt.Errorf("tag %s as %s:%s: %w", d, to, tag, err)
	}
	s.own.log.Debug("embedded registry", "event", "tagged", "repository", to, "reference", tag, "digest", d)
	return nil
}

// errElsewhere says that the client is to be asked: it has the better error, too.
var errElsewhere = errors.New("not in this registry")

// digest finds the manifest of a tag or digest.
func (r *Registry) digest(ctx context.Context, name, tagOrDigest string) (d digest.Digest, ok bool, err error) {
	named, repository, err := r.repository(ctx, name)
	if err != nil {
		return "", false, err
	}
	d = digest.Digest(tagOrDigest)
	if _, fault := reference.WithTag(named, tagOrDigest); fault == nil {
		found, err := repository.Tags(ctx).Get(ctx, tagOrDigest)
		if unknown := (distribution.ErrTagUnknown{}); errors.As(err, &unknown) {
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		d = found.Digest
	}
	ok, err = r.has(ctx, repository, d)
	return d, ok, err
}

// tag points a tag at a manifest that the repository has.
func (r *Registry) tag(ctx context.Context, name string, d digest.Digest, tag string) error {
	named, repository, err := r.repository(ctx, name)
	if err != nil {
		return err
	}
	if _, err := reference.WithTag(named, tag); err != nil {
		return errElsewhere
	}
	r.guard.writes.RLock()
	defer r.guard.writes.RUnlock()
	if ok, err := r.has(ctx, repository, d); err != nil || !ok {
		return errors.Join(err, errElsewhere)
	}
	return repository.Tags(ctx).Tag(ctx, tag, ocispecs.Descriptor{Digest: d})
}

// repository opens one of this registry by its full name.
func (r *Registry) repository(ctx context.Context, name string) (reference.Named, distribution.Repository, error) {
	path, ok := strings.CutPrefix(name, r.host+"/")
	if !ok {
		return nil, nil, errElsewhere
	}
	named, err := reference.WithName(path)
	if err != nil {
		return nil, nil, errElsewhere
	}
	repository, err := r.namespace.Repository(r.logged(ctx), named)
	return named, repository, err
}

func (r *Registry) has(ctx context.Context, repository distribution.Repository, d digest.Digest) (bool, error) {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return false, errElsewhere
	}
	manifests, err := repository.Manifests(r.logged(ctx))
	if err != nil {
		return false, err
	}
	return manifests.Exists(ctx, d)
}

func (r *Registry) logged(ctx context.Context) context.Context {
	return loggedContext{Context: ctx, entry: r.entry}
}
