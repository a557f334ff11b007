package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/pipeline"
)

// manifest is a manifest or index as a registry has it.
type manifest struct {
	mediaType types.MediaType
	digest    digest.Digest
	bytes     []byte
}

// RawManifest and MediaType make it something that can be put under a tag.
func (m manifest) RawManifest() ([]byte, error)        { return m.bytes, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

// content is an image manifest or an index; only one of them has anything.
type content struct {
	MediaType string                `json:"mediaType"`
	Config    ocispecs.Descriptor   `json:"config"`
	Layers    []ocispecs.Descriptor `json:"layers"`
	Manifests []ocispecs.Descriptor `json:"manifests"`
}

// read reads a manifest. Its digest is of the bytes that came, and is the one
// asked for if the place has one.
func (d *door) read(ctx context.Context, at place) (manifest, content, error) {
	var body content
	got, err := d.puller.Get(ctx, at.ref())
	if err != nil {
		return manifest{}, body, fmt.Errorf("manifest: %w", err)
	}
	m := manifest{mediaType: got.MediaType, digest: digest.Digest(got.Digest.String()), bytes: got.Manifest}
	if err := known(m.mediaType); err != nil {
		return m, body, err
	}
	if err := json.Unmarshal(m.bytes, &body); err != nil {
		return m, body, fmt.Errorf("the manifest is not JSON: %w", err)
	}
	// An answer that can be read as two things is read as none.
	if body.MediaType != "" && body.MediaType != string(m.mediaType) {
		return m, body, fmt.Errorf("the manifest says that it is %q, the registry %q", body.MediaType, m.mediaType)
	}
	if m.mediaType.IsIndex() && (body.Layers != nil || body.Config.Digest != "") || m.mediaType.IsImage() && body.Manifests != nil {
		return m, body, errors.New("the manifest is an image's and an index's at once")
	}
	return m, body, nil
}

func known(mediaType types.MediaType) error {
	if !mediaType.IsImage() && !mediaType.IsIndex() {
		return fmt.Errorf("content type %q is no image's", mediaType)
	}
	return nil
}

// image reads the manifest of an image; of an index it takes the platform's.
func (d *door) image(ctx context.Context, at place, platform ocispecs.Platform) (manifest, content, error) {
	m, body, err := d.read(ctx, at)
	if err != nil || m.mediaType.IsImage() {
		return m, body, err
	}
	found, err := choose(body.Manifests, platform)
	if err != nil {
		return m, body, err
	}
	at.reference = found.Digest.String()
	if _, err := digest.Parse(at.reference); err != nil {
		return m, body, fmt.Errorf("the index lists a manifest %q: %w", line(at.reference), err)
	}
	m, body, err = d.read(ctx, at)
	if err == nil && !m.mediaType.IsImage() {
		err = errors.New("the index lists another index for the platform")
	}
	return m, body, err
}

// choose finds the manifest of an index that fits a platform best. Attestations
// lie in an index under the platform unknown/unknown.
func choose(list []ocispecs.Descriptor, platform ocispecs.Platform) (ocispecs.Descriptor, error) {
	fits := platforms.Only(platform)
	var best *ocispecs.Descriptor
	for i, entry := range list {
		if entry.Platform == nil {
			if len(list) == 1 {
				return entry, nil
			}
			continue
		}
		if fits.Match(*entry.Platform) && (best == nil || fits.Less(*entry.Platform, *best.Platform)) {
			best = &list[i]
		}
	}
	if best == nil {
		return ocispecs.Descriptor{}, fmt.Errorf("no manifest for %s in the index: %w", platforms.Format(platform), ErrNotFound)
	}
	return *best, nil
}

// config reads an image's configuration.
func (d *door) config(ctx context.Context, at place, body content) ([]byte, error) {
	want := body.Config
	if _, err := digest.Parse(want.Digest.String()); err != nil {
		return nil, fmt.Errorf("the manifest names a configuration %q: %w", line(want.Digest.String()), err)
	}
	if want.Size < 0 || want.Size > MaxConfig {
		return nil, fmt.Errorf("the configuration has %d bytes, more than %d", want.Size, MaxConfig)
	}
	layer, err := d.puller.Layer(ctx, at.repo.Digest(want.Digest.String()))
	if err != nil {
		return nil, err
	}
	r, err := layer.Compressed() // checks the digest
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, want.Size+1))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", want.Digest, err)
	}
	if int64(len(data)) != want.Size {
		return nil, fmt.Errorf("configuration %s has not the %d bytes that the manifest says", want.Digest, want.Size)
	}
	return data, nil
}

// blobs puts together what manifest and configuration say of the blobs.
func blobs(body content, config []byte) ([]pipeline.Blob, error) {
	var image ocispecs.Image
	if err := json.Unmarshal(config, &image); err != nil {
		return nil, fmt.Errorf("the configuration is not JSON: %w", err)
	}
	if len(image.RootFS.DiffIDs) != len(body.Layers) {
		return nil, fmt.Errorf("the manifest has %d layers, the configuration %d", len(body.Layers), len(image.RootFS.DiffIDs))
	}
	list := make([]pipeline.Blob, 0, len(body.Layers))
	for i, layer := range body.Layers {
		diffID := image.RootFS.DiffIDs[i]
		for _, d := range []digest.Digest{layer.Digest, diffID} {
			if err := d.Validate(); err != nil {
				return nil, fmt.Errorf("layer %d has the digest %q: %w", i, line(d.String()), err)
			}
		}
		if !types.MediaType(layer.MediaType).IsLayer() {
			return nil, fmt.Errorf("layer %d has the media type %q, no file system's", i, line(layer.MediaType))
		}
		if layer.Size < 0 {
			return nil, fmt.Errorf("layer %d has a size of %d bytes", i, layer.Size)
		}
		list = append(list, pipeline.Blob{Digest: layer.Digest, DiffID: diffID, MediaType: layer.MediaType, Size: layer.Size})
	}
	return list, nil
}
