package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// rolloutColumns is what [scanRollout] reads, of rollouts r, environments e and
// repositories g.
const rolloutColumns = `r.id, e.namespace, e.kind, e.name, r.uid, g.url, r.ref, coalesce(r.commit, ''), coalesce(r.run, 0),
	r.pinned, r.images, r.state, r.cause, r.reason, r.gate, r.passed, r.remark, r.released, r.queued, r.started, r.finished`

func scanRollout(row pgx.CollectableRow) (r deploy.Rollout, err error) {
	places, done := rolloutPlaces(&r)
	if err = row.Scan(places...); err == nil {
		done()
	}
	return r, err
}

// rolloutPlaces are where [rolloutColumns] are scanned to; done is called after.
func rolloutPlaces(r *deploy.Rollout) (places []any, done func()) {
	var ref string
	var released, started, finished *time.Time
	places = []any{&r.ID, &r.Environment.Namespace, &r.Environment.Kind, &r.Environment.Name, &r.UID, &r.Repository, &ref, &r.Commit, &r.Run,
		&r.Pinned, &r.Images, &r.State, &r.Cause, &r.Reason, &r.Gate, &r.Passed, &r.Remark, &released, &r.Queued, &started, &finished}
	return places, func() {
		r.Ref, r.Released, r.Started, r.Finished = decodeRef(ref), orZero(released), orZero(started), orZero(finished)
	}
}

// Rollouts returns the last rollout of each environment, if it had one since it
// was adopted.
func (s *Store) Rollouts(ctx context.Context) ([]deploy.Rollout, error) {
	rollouts, err := read(ctx, s, scanRollout, "select "+rolloutColumns+` from environments e
		cross join lateral (select * from rollouts where environment = e.id order by id desc limit 1) r
		join repositories g on g.id = r.repository
		where e.gone is null and r.queued >= e.adopted`)
	if err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	return rollouts, nil
}

// Begin records a rollout, with its environment if that is new. One that has not
// ended is superseded, and the environment's wish to be resumed is fulfilled.
func (s *Store) Begin(ctx context.Context, r deploy.Rollout) (deploy.Rollout, error) {
	err := s.transact(ctx, once, func(tx pgx.Tx) error {
		var environment int64
		err := tx.QueryRow(ctx, `insert into environments as e (namespace, kind, name, uid, track, images, state)
			values ($1, $2, $3, $4, '', '[]', 'pending')
			on conflict (namespace, kind, name) do update set resumed = false, uid = excluded.uid,
				adopted = case when e.gone is null then e.adopted else now() end, gone = null
			returning id`, r.Environment.Namespace, r.Environment.Kind, r.Environment.Name, r.UID).Scan(&environment)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update rollouts set state = 'superseded', finished = now(), reason = $2
			where environment = $1 and finished is null`, environment, overtaken(r))
		if err != nil {
			return err
		}
		images, err := document(r.Images)
		if err != nil {
			return err
		}
		var run *int64
		if r.Run != 0 {
			run = &r.Run
		}
		var released *time.Time
		if !r.Released.IsZero() {
			released = &r.Released
		}
		return tx.QueryRow(ctx, `insert into rollouts (environment, uid, repository, ref, commit, run, pinned, images, cause, reason, released)
			select $1, $2, id, $4, $5, $6, $7, $8, $9, $10, $11 from repositories where url = $3
			returning id, queued`, environment, r.UID, r.Repository, encodeRef(r.Ref), orNull(r.Commit), run, r.Pinned, images, cut(r.Cause, maxShort), cut(r.Reason, maxShort), released).
			Scan(&r.ID, &r.Queued)
	})
	r.State = deploy.Pending
	if err != nil {
		return r, fmt.Errorf("begin a rollout of %s: %w", r.Environment, err)
	}
	return r, nil
}

func overtaken(by deploy.Rollout) string {
	if by.Pinned {
		return "a person pinned other images"
	}
	return "commit " + by.Commit.Short() + " came after it"
}

// Advance records that a rollout goes from the state that it is in to another,
// or has another reason, gate or remark. The error wraps [deploy.ErrMoved] if it is in another
// state.
func (s *Store) Advance(ctx context.Context, r deploy.Rollout, to deploy.State, reason string) (deploy.Rollout, error) {
	reason, r.Remark = cut(reason, maxShort), cut(r.Remark, maxShort)
	err := again(ctx, repeatable, func() error {
		var started, finished *time.Time
		err := s.pool.QueryRow(ctx, `update rollouts set state = $3, reason = $4, remark = $6, gate = $7,
				started = coalesce(started, case when $3 not in ('pending', 'held', 'superseded') then now() end),
				finished = case when $5 then now() end
			where id = $1 and (state = $2 or state = $3) and (finished is null or state = $3) returning started, finished`,
			r.ID, r.State, to, reason, to.Final(), r.Remark, r.Gate).Scan(&started, &finished)
		if errors.Is(err, pgx.ErrNoRows) {
			return deploy.ErrMoved
		}
		if err == nil {
			r.State, r.Reason, r.Started, r.Finished = to, reason, orZero(started), orZero(finished)
		}
		return err
	})
	if err != nil {
		return r, fmt.Errorf("rollout %d of %s: %w", r.ID, r.Environment, err)
	}
	return r, nil
}

// LastHealthy returns the newest rollout of a workload that ended healthy; nil if there
// is none.
func (s *Store) LastHealthy(ctx context.Context, e deploy.Environment, uid string) (*deploy.Rollout, error) {
	rollouts, err := read(ctx, s, scanRollout, "select "+rolloutColumns+` from environments e
		join rollouts r on r.environment = e.id join repositories g on g.id = r.repository
		where e.namespace = $1 and e.kind = $2 and e.name = $3 and r.uid = $4 and r.state = 'healthy' order by r.id desc limit 1`, e.Namespace, e.Kind, e.Name, uid)
	if err != nil {
		return nil, fmt.Errorf("the last rollout of %s that was healthy: %w", e, err)
	}
	if len(rollouts) == 0 {
		return nil, nil
	}
	return &rollouts[0], nil
}

// RolloutsOf returns an environment's rollouts, the newest first and at most limit of
// them.
func (s *Store) RolloutsOf(ctx context.Context, e deploy.Environment, limit int) ([]deploy.Rollout, error) {
	rollouts, err := read(ctx, s, scanRollout, "select "+rolloutColumns+` from environments e
		join rollouts r on r.environment = e.id join repositories g on g.id = r.repository
		where e.namespace = $1 and e.kind = $2 and e.name = $3 order by r.id desc limit $4`, e.Namespace, e.Kind, e.Name, limit)
	if err != nil {
		return nil, fmt.Errorf("rollouts of %s: %w", e, err)
	}
	return rollouts, nil
}
