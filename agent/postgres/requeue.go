package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// Again queues a run for the commit where a ref is, as if it had just moved
// there. It returns nil if the ref is elsewhere meanwhile, or has a run that has
// not ended.
func (s *Store) Again(ctx context.Context, move agent.Move) (*agent.Run, error) {
	move.Old = move.New
	run := agent.Run{Move: move, State: agent.Queued}
	ref := encodeRef(move.Ref)
	err := s.transact(ctx, once, func(tx pgx.Tx) error {
		if _, err := lockRefs(ctx, tx, []agent.Move{move}); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			with m as (
				insert into moves (repository, ref, old_commit, new_commit, again)
				select repository, name, commit, commit, true from refs
				where repository = $1 and name = $2 and commit = $3 and not exists (
					select from runs where repository = $1 and ref = $2 and state in ('queued', 'building', 'deploying'))
				returning *)
			insert into runs (repository, ref, move) select repository, ref, id from m returning id, queued`,
			move.Repository, ref, move.New).Scan(&run.ID, &run.Queued)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "select pg_notify($1, '')", s.channel())
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("queue a run of %s again: %w", move.Ref, err)
	}
	return &run, nil
}
