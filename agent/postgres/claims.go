package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// runColumns is what [scanRun] reads, of runs r, moves m and repositories g.
const runColumns = `r.id, r.state, r.attempt, r.reason, r.queued, r.started, r.finished,
	m.repository, g.url, m.ref, m.old_commit, m.new_commit, m.quiet`

// runPlaces are the destinations of [runColumns]; call done after a scan.
func runPlaces(run *agent.Run) (places []any, done func()) {
	var started, finished *time.Time
	var ref string
	var from, to *string
	done = func() {
		run.Started, run.Finished = orZero(started), orZero(finished)
		run.Move.Ref = decodeRef(ref)
		run.Move.Old, run.Move.New = layers.Commit(orZero(from)), layers.Commit(orZero(to))
	}
	return []any{&run.ID, &run.State, &run.Attempt, &run.Reason, &run.Queued, &started, &finished,
		&run.Move.Repository, &run.Move.URL, &ref, &from, &to, &run.Move.Quiet}, done
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func scanRun(row pgx.CollectableRow) (run agent.Run, err error) {
	places, done := runPlaces(&run)
	if err := row.Scan(places...); err != nil {
		return run, err
	}
	done()
	return run, nil
}

// Claim takes the oldest queued run of the repositories that is due, or one whose claim has lapsed,
// and makes it Building until the lease ends, by the database's clock. The runs
// of one ref go one after another, in their order; a later one overtakes only
// one that was put off. It returns nil if there is none.
func (s *Store) Claim(ctx context.Context, owner string, lease time.Duration, urls ...string) (*agent.Run, error) {
	var runs []agent.Run
	var err error
	for range maxMeetings {
		if runs, err = s.claim(ctx, owner, lease, urls); !met(err) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim a run: %w", err)
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return &runs[0], nil
}

func (s *Store) claim(ctx context.Context, owner string, lease time.Duration, urls []string) (runs []agent.Run, err error) {
	err = again(ctx, once, func() error {
		rows, err := s.pool.Query(ctx, `
			with r as (
				update runs set state = 'building', owner = $1, lease_until = now() + $2, attempt = attempt + 1, started = now()
				where id = (
					select r.id from runs r
					where r.state in ('queued', 'building', 'deploying')
					and (r.state = 'queued' and r.not_before <= now() or r.lease_until < now())
					and ($3::text[] is null or r.repository in (select id from repositories where url = any($3)))
					and not exists (
						select from runs e
						where e.state in ('queued', 'building', 'deploying')
						and e.repository = r.repository and e.ref = r.ref and e.id <> r.id
						and (e.state <> 'queued' or e.id < r.id and e.not_before <= now()))
					order by r.id limit 1 for update of r skip locked)
				returning *)
			select `+runColumns+` from r join moves m on m.id = r.move join repositories g on g.id = m.repository`,
			cut(owner, maxShort), lease, urls)
		if err != nil {
			return err
		}
		runs, err = pgx.CollectRows(rows, scanRun)
		return err
	})
	return runs, err
}

// Extend prolongs a claim, also one that has lapsed but that nobody else has
// taken; ok is false if it was lost.
func (s *Store) Extend(ctx context.Context, run agent.RunID, owner string, lease time.Duration) (ok bool, err error) {
	err = again(ctx, repeatable, func() error {
		tag, err := s.pool.Exec(ctx, `update runs set lease_until = now() + $3
			where id = $1 and owner = $2 and lease_until is not null`, run, cut(owner, maxShort), lease)
		ok = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("extend the claim on run %d: %w", run, err)
	}
	return ok, nil
}

// Release gives a run back to the queue, to be claimed after a while. The error
// wraps [agent.ErrLost] if the owner does not have it.
func (s *Store) Release(ctx context.Context, run agent.RunID, owner string, after time.Duration, reason string) error {
	err := again(ctx, once, func() error {
		tag, err := s.pool.Exec(ctx, `update runs
			set state = 'queued', owner = null, lease_until = null, not_before = now() + $3, reason = $4
			where id = $1 and owner = $2 and lease_until is not null`, run, cut(owner, maxShort), after, cut(reason, maxShort))
		if err == nil && tag.RowsAffected() == 0 {
			return agent.ErrLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("release run %d: %w", run, err)
	}
	return nil
}
