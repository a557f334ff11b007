package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

// Tag makes a tag point at a manifest, by putting the manifest's bytes under
// it. To another repository it is a [Client.Copy].
func (c *Client) Tag(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	if from != to {
		return c.Copy(ctx, from, d, to, tag)
	}
	at, err := c.tagged(to, tag)
	if err != nil {
		return fmt.Errorf("tag: %w", err)
	}
	source, err := c.digested(from, d)
	if err != nil {
		return fmt.Errorf("tag: %w", err)
	}
	return c.shortly(ctx, "tag "+d.String()+" as", at, func(ctx context.Context, door *door) error {
		m, ok := c.manifests.Get(memory(source.repo, d))
		if !ok {
			if m, _, err = door.read(ctx, source); err != nil {
				return err
			}
			c.remember(source.repo, m)
		}
		return door.pusher.Put(ctx, at.ref(), m)
	})
}

// TagOnce does the same for a tag that is never moved: if it already points at
// another digest, the error is [ErrTagTaken] and it stays. Within one client
// no two calls race; the specification gives registries no way to rule that out
// among several, so the tag is read again afterwards.
func (c *Client) TagOnce(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s:%s", to, tag)
	lock := &c.onces[h.Sum32()%uint32(len(c.onces))]
	lock.Lock()
	defer lock.Unlock()

	if done, err := c.pointsAt(ctx, d, to, tag); done || err != nil {
		return err
	}
	if err := c.Tag(ctx, from, d, to, tag); err != nil {
		return err
	}
	if done, err := c.pointsAt(ctx, d, to, tag); done || err != nil {
		return err
	}
	return fmt.Errorf("tag %s as %s:%s: %w", d, to, tag, errors.New("the tag is gone again"))
}

// pointsAt reports whether a tag points at a digest; it is an error if it points
// at another.
func (c *Client) pointsAt(ctx context.Context, d digest.Digest, to, tag string) (bool, error) {
	have, ok, err := c.Digest(ctx, to, tag)
	if err != nil || !ok {
		return false, err
	}
	if have != d {
		return false, fmt.Errorf("tag %s as %s:%s, which is %s: %w", d, to, tag, have, ErrTagTaken)
	}
	return true, nil
}

// Copy copies an image or an index with all in it and tags it; with no tag it
// is there by its digest alone. Within a registry blobs are mounted; what it
// does not mount, and what goes to another registry, streams through here.
func (c *Client) Copy(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	source, err := c.digested(from, d)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	at, err := c.referred(to, defaulted(tag, d.String()))
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return c.within(ctx, "copy to "+to+" from", source, func(ctx context.Context, door *door) error {
		image, err := door.puller.Get(ctx, source.ref())
		if err != nil {
			return err
		}
		if err := known(image.MediaType); err != nil {
			return err
		}
		// A pusher of its own: it remembers for ever which blobs a repository
		// has, and adds the scopes that mounting needs.
		pusher, err := remote.NewPusher(remote.WithTransport(c.base), remote.WithAuthFromKeychain(c.keychain), remote.WithRetryStatusCodes())
		if err != nil {
			return err
		}
		return pusher.Push(ctx, at.ref(), image)
	})
}

// remember keeps a manifest for the tags that it is soon given, if it is no
// larger than most.
func (c *Client) remember(repo name.Repository, m manifest) {
	if len(m.bytes) <= 64<<10 {
		c.manifests.Add(memory(repo, m.digest), m)
	}
}

func memory(repo name.Repository, d digest.Digest) string { return repo.Name() + "@" + d.String() }
