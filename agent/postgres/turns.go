package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Take has a run be the one that builds a key, unless another one is whose claim
// lasts; false if so. It ends with [Store.Leave], with the run, or with its claim.
func (s *Store) Take(ctx context.Context, run agent.Run, key layers.Key) (ours bool, err error) {
	err = again(ctx, repeatable, func() error {
		var batch pgx.Batch
		batch.Queue(unwaited)
		batch.Queue(`insert into turns as t (key, run, hold) values ($1, $2, $3)
			on conflict (key) do update set run = excluded.run, hold = excluded.hold
				where (t.run, t.hold) = (excluded.run, excluded.hold)
				or not exists (select from runs r where r.id = t.run and r.hold = t.hold and r.lease_until >= now())
			returning true`, key, run.ID, orNull(run.Hold)).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&ours)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
		return s.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return false, fmt.Errorf("take key %s for run %d: %w", key, run.ID, err)
	}
	return ours, nil
}

// Leave ends that a run builds a key.
func (s *Store) Leave(ctx context.Context, run agent.Run, key layers.Key) error {
	err := again(ctx, repeatable, func() error {
		var batch pgx.Batch
		batch.Queue(unwaited)
		batch.Queue("delete from turns where key = $1 and run = $2 and hold = $3", key, run.ID, orNull(run.Hold))
		return s.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("leave key %s by run %d: %w", key, run.ID, err)
	}
	return nil
}
