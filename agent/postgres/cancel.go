package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// Refusal says why a person's wish about a run is not granted.
type Refusal struct{ Reason string }

func (r Refusal) Error() string { return r.Reason }

// Cancel ends a run: one that waits at once, one that is building by whoever
// has it, moments later. A run that is deploying is brought to its end. The
// error is a [Refusal] if there is nothing to cancel.
func (s *Store) Cancel(ctx context.Context, run agent.RunID, reason string) error {
	if reason = cut(reason, maxShort); reason == "" {
		reason = "cancelled"
	}
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var state agent.State
		err := tx.QueryRow(ctx, "select state from runs where id = $1 for update", run).Scan(&state)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return Refusal{"there is no such run"}
		case err != nil:
			return err
		case state.Final():
			return Refusal{fmt.Sprintf("it is %s already", state)}
		case state == agent.Deploying:
			return Refusal{"it is deploying, and ends with that"}
		}
		_, err = tx.Exec(ctx, `update runs set
				state = case when state = 'queued' then 'cancelled' else state end,
				reason = case when state = 'queued' then $2 else reason end,
				finished = case when state = 'queued' then now() end,
				cut_as = case when state = 'building' then 'cancelled' end,
				cut_reason = case when state = 'building' then $2 end
			where id = $1`, run, reason)
		if err == nil {
			_, err = tx.Exec(ctx, "select pg_notify($1, '')", s.channel())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cancel run %d: %w", run, err)
	}
	return nil
}

// Retry queues a run for what a finished one was about. The error is a
// [Refusal] if its ref has moved on, or has a run that has not ended.
func (s *Store) Retry(ctx context.Context, id agent.RunID) (*agent.Run, error) {
	old, err := s.Run(ctx, id)
	switch {
	case err != nil:
	case old == nil:
		err = Refusal{"there is no such run"}
	case !old.State.Final():
		err = Refusal{fmt.Sprintf("it is %s and has not ended", old.State)}
	default:
		run, err := s.Again(ctx, old.Move)
		if err != nil || run != nil {
			return run, err
		}
		return nil, fmt.Errorf("retry run %d: %w", id, Refusal{
			fmt.Sprintf("%s has moved on from %s, or another run of it has not ended", old.Move.Ref, old.Move.New.Short())})
	}
	return nil, fmt.Errorf("retry run %d: %w", id, err)
}
