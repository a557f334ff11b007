package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Digest resolves a tag or digest by one HEAD; ok is false if the registry does
// not have it. For an index it is the index's digest.
func (c *Client) Digest(ctx context.Context, repository, tagOrDigest string) (d digest.Digest, ok bool, err error) {
	at, err := c.referred(repository, tagOrDigest)
	if err != nil {
		return "", false, fmt.Errorf("look up digest: %w", err)
	}
	err = c.shortly(ctx, "look up", at, func(ctx context.Context, door *door) (err error) {
		d, err = door.digest(ctx, at)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, err
	}
	return d, true, nil
}

func (d *door) digest(ctx context.Context, at place) (digest.Digest, error) {
	got, err := d.puller.Head(ctx, at.ref())
	if err != nil {
		return "", err
	}
	return digest.Digest(got.Digest.String()), known(got.MediaType)
}

// Holds lists the manifests that an index leads to, also through others; there
// are none in an image, in what is neither, and in what is not there.
func (c *Client) Holds(ctx context.Context, repository string, d digest.Digest) (held []digest.Digest, err error) {
	at, err := c.digested(repository, d)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	err = c.shortly(ctx, "read index", at, func(ctx context.Context, door *door) (err error) {
		left := maxIndexes
		held, err = door.holds(ctx, at, 0, &left)
		return err
	})
	return held, err
}

const (
	// maxNested is how many indexes may lie in each other, and maxIndexes how
	// many there may be in all.
	maxNested  = 4
	maxIndexes = 100
)

// holds reads as many indexes as are left.
func (d *door) holds(ctx context.Context, at place, depth int, left *int) (held []digest.Digest, err error) {
	if depth > maxNested {
		return nil, fmt.Errorf("more than %d indexes lie in each other", maxNested)
	}
	if *left--; *left < 0 {
		return nil, fmt.Errorf("it leads to more than %d indexes", maxIndexes)
	}
	got, err := d.puller.Head(ctx, at.ref())
	if answer := (*transport.Error)(nil); errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil || !got.MediaType.IsIndex() {
		return nil, err
	}
	_, body, err := d.read(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, entry := range body.Manifests {
		if entry.Digest.Validate() != nil {
			continue
		}
		held = append(held, entry.Digest)
		if !types.MediaType(entry.MediaType).IsIndex() {
			continue
		}
		more, err := d.holds(ctx, place{at.repo, entry.Digest.String()}, depth+1, left)
		if err != nil {
			return nil, err
		}
		held = append(held, more...)
	}
	return held, nil
}

// Inspect reads an image's configuration and lists its blobs. Manifest and
// configuration have the digests by which they were asked for.
func (c *Client) Inspect(ctx context.Context, repository string, d digest.Digest) (config []byte, list []pipeline.Blob, err error) {
	at, err := c.digested(repository, d)
	if err != nil {
		return nil, nil, fmt.Errorf("inspect: %w", err)
	}
	err = c.shortly(ctx, "inspect", at, func(ctx context.Context, door *door) error {
		m, body, err := door.image(ctx, at, c.platform)
		if err != nil {
			return err
		}
		if config, err = door.config(ctx, at, body); err != nil {
			return err
		}
		list, err = blobs(body, config)
		c.remember(at.repo, m)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return config, list, nil
}

// Resolve describes an image from outside by its reference as in a FROM line:
// the digest of the platform's manifest and the image configuration. The error
// is [ErrNotFound], [ErrUnauthorized] or [ErrUnreachable] where it is one.
func (c *Client) Resolve(ctx context.Context, ref, platform string) (d digest.Digest, config []byte, err error) {
	parsed, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return "", nil, fmt.Errorf("resolve %q: %w", ref, err)
	}
	wanted, err := parsePlatform(platform)
	if err != nil {
		return "", nil, fmt.Errorf("resolve %q: %w", ref, err)
	}
	at, err := c.referred(parsed.Context().Name(), parsed.Identifier())
	if err != nil {
		return "", nil, fmt.Errorf("resolve: %w", err)
	}
	err = c.shortly(ctx, "resolve", at, func(ctx context.Context, door *door) error {
		m, body, err := door.image(ctx, at, wanted)
		if err != nil {
			return err
		}
		d = m.digest
		config, err = door.config(ctx, at, body)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return d, config, nil
}

// Open streams a blob as it is stored. Reading to the end checks its digest.
// There is no limit on the whole time, only on silence.
func (c *Client) Open(ctx context.Context, repository string, d digest.Digest) (r io.ReadCloser, err error) {
	at, err := c.digested(repository, d)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	err = c.within(ctx, "open blob", at, func(ctx context.Context, door *door) error {
		layer, err := door.puller.Layer(ctx, at.repo.Digest(at.reference))
		if err == nil {
			r, err = layer.Compressed()
		}
		return err
	})
	return r, err
}
