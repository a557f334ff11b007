package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

// imageColumns is what [scanImage] reads, of images i with [blobsOfImage].
const imageColumns = `i.key, i.repository, i.digest, coalesce(i.index_digest, ''), i.config,
	coalesce(i.base_image_digest, ''), coalesce(i.base_image_ref, ''), i.metadata,
	b.digests, b.diff_ids, b.media_types, b.sizes, b.own`

const blobsOfImage = `left join lateral (
	select array_agg(digest::text order by position) as digests, array_agg(diff_id::text order by position) as diff_ids,
		array_agg(media_type order by position) as media_types, array_agg(size order by position) as sizes,
		array_agg(own order by position) as own
	from image_blobs where image = i.id) b on true`

// scanImage reads an image; the columns in front of [imageColumns] go to first.
func scanImage(row pgx.CollectableRow, first ...any) (pipeline.Image, error) {
	var i pipeline.Image
	var digests, diffs, types []string
	var sizes []int64
	var own []bool
	err := row.Scan(append(first, &i.Key, &i.Repository, &i.Digest, &i.Index, &i.Config,
		&i.Parent, &i.ParentRef, &i.Metadata, &digests, &diffs, &types, &sizes, &own)...)
	if err != nil {
		return i, err
	}
	i.Blobs = make([]pipeline.Blob, len(digests))
	for n := range digests {
		i.Blobs[n] = pipeline.Blob{
			Digest: digest.Digest(digests[n]), DiffID: digest.Digest(diffs[n]),
			MediaType: types[n], Size: sizes[n], Own: own[n],
		}
	}
	return i, nil
}

// framework is the most specific framework of an image.
func framework(m pipeline.Metadata) pipeline.Finding {
	if len(m.Frameworks) == 0 {
		return pipeline.Finding{Name: "none"}
	}
	return m.Frameworks[0]
}

// driver is the driver that an image needs.
func driver(m pipeline.Metadata) pipeline.Finding {
	if m.Driver == nil || m.Driver.Version == "" {
		return pipeline.Finding{Version: "unknown"}
	}
	return *m.Driver
}

// checkImage finds what would make an image's record useless.
func checkImage(i pipeline.Image) error {
	if err := digest.Digest(i.Key).Validate(); err != nil {
		return fmt.Errorf("key %q: %w", i.Key, err)
	}
	if err := i.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", i.Digest, err)
	}
	for n, b := range i.Blobs {
		if err := b.Digest.Validate(); err != nil {
			return fmt.Errorf("blob %d: digest %q: %w", n, b.Digest, err)
		}
		if err := b.DiffID.Validate(); err != nil {
			return fmt.Errorf("blob %d: diff id %q: %w", n, b.DiffID, err)
		}
	}
	return nil
}

// valid is a digest, or none where somebody wrote something else: labels of an
// image are anybody's.
func valid(d digest.Digest) *string {
	if d.Validate() != nil {
		return nil
	}
	return orNull(d)
}
