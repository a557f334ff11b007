package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// Pins returns all pins.
func (s *Store) Pins(ctx context.Context) ([]deploy.Pin, error) {
	pins, err := read(ctx, s, func(row pgx.CollectableRow) (p deploy.Pin, err error) {
		var ref string
		e := &p.Environment
		err = row.Scan(&e.Namespace, &e.Kind, &e.Name, &p.Repository, &ref, &p.Commit, &p.Images, &p.By, &p.Since)
		p.Ref = decodeRef(ref)
		return p, err
	}, `select e.namespace, e.kind, e.name, coalesce(g.url, ''), p.ref, coalesce(p.commit, ''), p.images, p.by, p.since
		from pins p join environments e on e.id = p.environment left join repositories g on g.id = e.repository`)
	if err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	return pins, nil
}

// Pin keeps environments at images until they are resumed: all of them, or on an
// error none.
func (s *Store) Pin(ctx context.Context, pins ...deploy.Pin) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var batch pgx.Batch
		for _, p := range pins {
			e := p.Environment
			batch.Queue(`insert into pins (environment, ref, commit, images, by)
				select id, $4, $5, $6, $7 from environments where namespace = $1 and kind = $2 and name = $3
				on conflict (environment) do update set ref = excluded.ref, commit = excluded.commit,
					images = excluded.images, by = excluded.by, since = now()`,
				e.Namespace, e.Kind, e.Name, encodeRef(p.Ref), orNull(p.Commit), p.Images, cut(p.By, maxShort))
		}
		batch.Queue("select pg_notify($1, '')", s.releaseChannel())
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}

// Resume takes the pin off an environment. If there is none, its rollout goes past
// the gate that holds it; and if none does, images that failed are tried again, and
// what was set by hand is overwritten.
func (s *Store) Resume(ctx context.Context, e deploy.Environment) (done deploy.Resumption, err error) {
	err = s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		done = deploy.Resumption{}
		rows, err := tx.Query(ctx, "delete from pins where environment in ("+environmentID+") returning since", e.Namespace, e.Kind, e.Name)
		if err != nil {
			return err
		}
		taken, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			done.Pinned = taken[0]
		} else if done.Passed, err = pass(ctx, tx, e); err != nil {
			return err
		}
		if done.Passed == nil {
			if _, err = tx.Exec(ctx, "update environments set resumed = true where id in ("+environmentID+")", e.Namespace, e.Kind, e.Name); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "select pg_notify($1, '')", s.releaseChannel())
		return err
	})
	if err != nil {
		return deploy.Resumption{}, fmt.Errorf("resume %s: %w", e, err)
	}
	return done, nil
}

// pass has an environment's rollout pass the gate that holds it; nil if none does.
func pass(ctx context.Context, tx pgx.Tx, e deploy.Environment) (*deploy.Pass, error) {
	rows, err := tx.Query(ctx, `update rollouts set passed = case
				when passed @> jsonb_build_array(jsonb_build_object('gate', gate)) then passed
				else passed || jsonb_build_object('gate', gate, 'reason', reason) end
		where environment in (`+environmentID+`) and state = 'held' and gate <> '' returning gate, reason`, e.Namespace, e.Kind, e.Name)
	if err != nil {
		return nil, err
	}
	passed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[deploy.Pass])
	if err != nil || len(passed) == 0 {
		return nil, err
	}
	return &passed[0], nil
}

// Passed returns what gates a person had rollouts pass that have not ended.
func (s *Store) Passed(ctx context.Context) (map[int64][]deploy.Pass, error) {
	type one struct {
		ID     int64
		Passed []deploy.Pass
	}
	all, err := read(ctx, s, pgx.RowToStructByPos[one], "select id, passed from rollouts where finished is null and passed <> '[]'")
	if err != nil {
		return nil, fmt.Errorf("gates that rollouts pass: %w", err)
	}
	passed := map[int64][]deploy.Pass{}
	for _, r := range all {
		passed[r.ID] = r.Passed
	}
	return passed, nil
}

// Resumed returns the environments that a person wants to go on.
func (s *Store) Resumed(ctx context.Context) ([]deploy.Environment, error) {
	resumed, err := read(ctx, s, pgx.RowToStructByPos[deploy.Environment], "select namespace, kind, name from environments where resumed and gone is null")
	if err != nil {
		return nil, fmt.Errorf("environments to resume: %w", err)
	}
	return resumed, nil
}
