package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Recorded returns what the last run of a ref that made images found, of the
// runs before one; nil if there is none.
func (s *Store) Recorded(ctx context.Context, repository agent.RepositoryID, ref layers.Ref, before agent.RunID) (*agent.Recorded, error) {
	type row struct {
		commit layers.Commit
		layer  layers.Name
		began  time.Time
		layers.Recorded
	}
	found, err := read(ctx, s, func(r pgx.CollectableRow) (v row, err error) {
		err = r.Scan(&v.commit, &v.began, &v.layer, &v.Key, &v.Outside)
		return v, err
	}, `select m.new_commit, r.began, l.layer, l.key, l.outside
		from (select id, move, coalesce(started, queued) as began from runs
			where repository = $1 and ref = $2 and id < $3 and snapshot is not null
			order by id desc limit 1) r
		join moves m on m.id = r.move join run_layers l on l.run = r.id
		where l.key is not null`, repository, encodeRef(ref), before)
	if err != nil {
		return nil, fmt.Errorf("what run of %s was before run %d: %w", ref, before, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	recorded := &agent.Recorded{Commit: found[0].commit, Began: found[0].began, Layers: make(map[layers.Name]layers.Recorded, len(found))}
	for _, v := range found {
		recorded.Layers[v.layer] = v.Recorded
	}
	return recorded, nil
}

// Began returns when the last attempt at the newest run of a ref began: zero if
// there is no run, and now if it still waits.
func (s *Store) Began(ctx context.Context, repository agent.RepositoryID, ref layers.Ref) (time.Time, error) {
	began, err := read(ctx, s, pgx.RowTo[time.Time], `
		select case when state = 'queued' then now() else coalesce(started, queued) end from runs
		where repository = $1 and ref = $2 order by id desc limit 1`, repository, encodeRef(ref))
	if err != nil {
		return time.Time{}, fmt.Errorf("when the newest run of %s began: %w", ref, err)
	}
	if len(began) == 0 {
		return time.Time{}, nil
	}
	return began[0], nil
}

// Outside returns the images from outside, as Dockerfiles name them, that a ref
// stands on: those of its last run that made images, and of its last run that made
// a plan, also where that failed as one was not there.
func (s *Store) Outside(ctx context.Context, repository agent.RepositoryID, ref layers.Ref) ([]string, error) {
	images, err := read(ctx, s, pgx.RowTo[string], `
		with r as (select id, snapshot from runs where repository = $1 and ref = $2)
		select distinct jsonb_object_keys(l.outside) from run_layers l where l.run in (
			(select id from r where snapshot is not null order by id desc limit 1),
			(select id from r where exists (select from run_layers where run = r.id) order by id desc limit 1))
		order by 1`, repository, encodeRef(ref))
	if err != nil {
		return nil, fmt.Errorf("images from outside of %s: %w", ref, err)
	}
	return images, nil
}
