package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

// maxTags of one repository that are listed.
const maxTags = 100_000

// Tags lists the tags of a repository; there are none in one that the registry
// does not have.
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	at, err := c.repository(repository)
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	var tags []string
	err = c.shortly(ctx, "list tags of", at, func(ctx context.Context, door *door) error {
		tags = nil
		list, err := door.puller.Lister(ctx, at.repo)
		if err != nil {
			return err
		}
		for list.HasNext() {
			page, err := list.Next(ctx)
			if err != nil {
				return err
			}
			if len(page.Tags) == 0 && page.Next != "" || len(tags)+len(page.Tags) > maxTags {
				return fmt.Errorf("the list of tags does not end after %d", len(tags))
			}
			tags = append(tags, page.Tags...)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return tags, err
}

// DeleteTag removes one tag and leaves the manifest and all other tags on it
// alone: it names the tag to the registry, never the digest behind it. A tag
// that is not there is done with. The error is [ErrOnlyByDigest] from a
// registry that cannot do this.
func (c *Client) DeleteTag(ctx context.Context, repository, tag string) error {
	at, err := c.tagged(repository, tag)
	if err != nil {
		return fmt.Errorf("delete tag: %w", err)
	}
	err = c.shortly(ctx, "delete tag", at, func(ctx context.Context, door *door) error {
		err := door.pusher.Delete(ctx, at.ref())
		// distribution-spec, "Deleting tags": 400 or 405 where it is not done.
		var answer *transport.Error
		if errors.As(err, &answer) {
			switch answer.StatusCode {
			case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
				return ErrOnlyByDigest
			}
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DeleteManifest removes a manifest, and with it every tag of the repository
// that points at it. One that is not there is done with.
func (c *Client) DeleteManifest(ctx context.Context, repository string, d digest.Digest) error {
	at, err := c.digested(repository, d)
	if err != nil {
		return fmt.Errorf("delete manifest: %w", err)
	}
	err = c.shortly(ctx, "delete manifest", at, func(ctx context.Context, door *door) error {
		return door.pusher.Delete(ctx, at.ref())
	})
	c.manifests.Remove(memory(at.repo, d))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
