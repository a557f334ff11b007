package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Images returns what is recorded for the keys; unknown ones are left out.
func (s *Store) Images(ctx context.Context, keys []layers.Key) (map[layers.Key]pipeline.Image, error) {
	found, err := read(ctx, s, func(r pgx.CollectableRow) (pipeline.Image, error) { return scanImage(r) },
		"select "+imageColumns+" from images i "+blobsOfImage+" where i.key = any($1) and i.lost_at is null", keys)
	if err != nil {
		return nil, fmt.Errorf("images of %d keys: %w", len(keys), err)
	}
	images := make(map[layers.Key]pipeline.Image, len(found))
	for _, i := range found {
		images[i.Key] = i
	}
	return images, nil
}

// ImageOf returns what is recorded of the image with a digest, whether the
// registry still has it or not; ok is false if nothing is.
func (s *Store) ImageOf(ctx context.Context, d digest.Digest) (image pipeline.Image, ok bool, err error) {
	if d.Validate() != nil {
		return image, false, nil
	}
	found, err := read(ctx, s, func(r pgx.CollectableRow) (pipeline.Image, error) { return scanImage(r) },
		"select "+imageColumns+" from images i "+blobsOfImage+" where i.digest = $1 order by i.lost_at is not null, i.id limit 1", d)
	if err != nil {
		return image, false, fmt.Errorf("image %s: %w", d, err)
	}
	if len(found) == 0 {
		return image, false, nil
	}
	return found[0], true, nil
}

// Publish records an image under its key and returns the one that counts: the
// first that was published. An image that the registry had lost and has again
// counts again, if no other took its place.
func (s *Store) Publish(ctx context.Context, i pipeline.Image) (winner pipeline.Image, err error) {
	if err := checkImage(i); err != nil {
		return winner, fmt.Errorf("publish %s: %w", i.Repository, err)
	}
	for range maxMeetings {
		err = again(ctx, repeatable, func() error {
			winner, err = s.publish(ctx, i)
			return err
		})
		if !met(err) {
			break
		}
	}
	if err != nil {
		return winner, fmt.Errorf("publish %s: %w", i.Ref(), err)
	}
	return winner, nil
}

func (s *Store) publish(ctx context.Context, i pipeline.Image) (winner pipeline.Image, err error) {
	metadata, err := document(i.Metadata)
	if err != nil {
		return winner, err
	}
	var digests, diffs, types []string
	var sizes []int64
	var own []bool
	for _, b := range i.Blobs {
		digests = append(digests, string(b.Digest))
		diffs = append(diffs, string(b.DiffID))
		types = append(types, cut(b.MediaType, 255))
		sizes = append(sizes, b.Size)
		own = append(own, b.Own)
	}
	f, d := framework(i.Metadata), driver(i.Metadata)
	// One batch is one transaction, and each statement sees what others have
	// committed before it: the insert waits for another one of the same key.
	var batch pgx.Batch
	// The disk is not waited for: the run's end, which is, comes after it in the
	// log and does not stand without it.
	batch.Queue("select set_config('synchronous_commit', 'off', true)")
	batch.Queue(`update images set lost_at = null, removed_at = null, repository = $3, index_digest = $4
		where key = $1 and digest = $2 and lost_at is not null
		and not exists (select from images where key = $1 and lost_at is null)`,
		i.Key, i.Digest, i.Repository, valid(i.Index))
	batch.Queue(`with i as (
			insert into images (key, repository, digest, index_digest, config, base_image_ref, base_image_digest,
				framework_type, framework_version, framework_evidence, gpu_driver_ver, gpu_driver_evidence, metadata)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			on conflict do nothing returning id)
		insert into image_blobs (image, position, digest, diff_id, media_type, size, own)
		select i.id, n - 1, digest, diff_id, media_type, size, own
		from i, unnest($14::text[], $15::text[], $16::text[], $17::bigint[], $18::bool[])
			with ordinality as b(digest, diff_id, media_type, size, own, n)`,
		i.Key, i.Repository, i.Digest, valid(i.Index), i.Config, orNull(cut(i.ParentRef, maxShort)), valid(i.Parent),
		cut(f.Name, maxShort), cut(f.Version, maxShort), cut(f.Evidence, maxShort),
		cut(d.Version, maxShort), cut(d.Evidence, maxShort), metadata,
		digests, diffs, types, sizes, own)
	batch.Queue("select "+imageColumns+" from images i "+blobsOfImage+" where i.key = $1 and i.lost_at is null", i.Key).
		Query(func(rows pgx.Rows) error {
			winner, err = pgx.CollectExactlyOneRow(rows, func(r pgx.CollectableRow) (pipeline.Image, error) { return scanImage(r) })
			return err
		})
	err = s.pool.SendBatch(ctx, &batch).Close()
	return winner, err
}

// Forget marks an image that counts no more, as the registry has lost it or what
// it stands on: its key is free for another, and history keeps its record.
func (s *Store) Forget(ctx context.Context, key layers.Key, d digest.Digest) error {
	err := s.write(ctx, "update images set lost_at = now() where key = $1 and digest = $2 and lost_at is null", key, d)
	if err != nil {
		return fmt.Errorf("forget the image of %s: %w", key, err)
	}
	return nil
}
