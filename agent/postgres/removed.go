package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent/cleanup"
)

// Condemn makes images count no more, by their ids: no run reuses them.
func (s *Store) Condemn(ctx context.Context, images []int64) error {
	err := s.write(ctx, "update images set lost_at = now() where id = any($1) and lost_at is null", images)
	if err != nil {
		return fmt.Errorf("condemn %d images: %w", len(images), err)
	}
	return nil
}

// Removed notes that the registry no longer has condemned images, nor any tag on
// them.
func (s *Store) Removed(ctx context.Context, images []int64) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue("update images set removed_at = now() where id = any($1) and removed_at is null", images)
		batch.Queue("delete from tags where digest in (select digest from images where id = any($1))", images)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("record that %d images were removed: %w", len(images), err)
	}
	return nil
}

// Untagged notes that a tag is gone.
func (s *Store) Untagged(ctx context.Context, tag cleanup.Tag) error {
	err := s.write(ctx, "delete from tags where repository = $1 and name = $2 and digest = $3", tag.Repository, tag.Name, tag.Digest)
	if err != nil {
		return fmt.Errorf("record that %s:%s is gone: %w", tag.Repository, tag.Name, err)
	}
	return nil
}
