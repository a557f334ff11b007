package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// Runs returns the newest runs, at most limit of them; 0 is 100.
func (s *Store) Runs(ctx context.Context, limit int) ([]agent.RunSummary, error) {
	if limit <= 0 {
		limit = 100
	}
	runs, err := s.summaries(ctx, "select * from runs order by id desc limit $1", limit)
	if err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	return runs, nil
}

// Run returns one run; nil if there is none of that id.
func (s *Store) Run(ctx context.Context, id agent.RunID) (*agent.RunSummary, error) {
	runs, err := s.summaries(ctx, "select * from runs where id = $1", id)
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", id, err)
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return &runs[0], nil
}

// summaries are of the runs that a query selects, the newest first.
func (s *Store) summaries(ctx context.Context, runs string, args ...any) ([]agent.RunSummary, error) {
	return read(ctx, s, scanSummary, "select "+runColumns+`, l.reused, l.built, l.failed,
			coalesce(extract(epoch from r.finished - r.queued), 0)::float8
		from (`+runs+`) r
		join moves m on m.id = r.move join repositories g on g.id = m.repository
		left join lateral (
			select count(*) filter (where state = 'reused') as reused, count(*) filter (where state = 'built') as built,
				count(*) filter (where state in ('failed', 'blocked', 'cancelled')) as failed
			from run_layers where run = r.id) l on true
		order by r.id desc`, args...)
}

func scanSummary(row pgx.CollectableRow) (r agent.RunSummary, err error) {
	places, done := runPlaces(&r.Run)
	if err := row.Scan(append(places, &r.Reused, &r.Built, &r.Failed, &r.Seconds)...); err != nil {
		return r, err
	}
	done()
	return r, nil
}
