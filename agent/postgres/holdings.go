package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// Holdings returns the images that nodes were seen to have within some time, and
// drops what is older.
func (s *Store) Holdings(ctx context.Context, within time.Duration) ([]deploy.Holding, error) {
	err := s.write(ctx, "delete from node_images where seen < now() - $1::interval", within)
	if err != nil {
		return nil, fmt.Errorf("images on nodes: %w", err)
	}
	held, err := read(ctx, s, pgx.RowToStructByPos[deploy.Holding], "select node, digest, seen from node_images")
	if err != nil {
		return nil, fmt.Errorf("images on nodes: %w", err)
	}
	return held, nil
}

// Saw records images that were seen on nodes, and others that are gone from them.
func (s *Store) Saw(ctx context.Context, seen, gone []deploy.Holding) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var batch pgx.Batch
		for _, h := range seen {
			batch.Queue(`insert into node_images (node, digest, seen) values ($1, $2, $3)
				on conflict (node, digest) do update set seen = greatest(node_images.seen, excluded.seen)`, h.Node, h.Digest, h.Seen)
		}
		for _, h := range gone {
			batch.Queue("delete from node_images where node = $1 and digest = $2", h.Node, h.Digest)
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("record which nodes have an image: %w", err)
	}
	return nil
}
