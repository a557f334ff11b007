package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// RunSummary is a run and how its layers came out.
type RunSummary struct {
	agent.Run
	// Reused, Built and Failed count layers; Failed has those that had no image
	// because of a failure elsewhere too.
	Reused int `json:"reused"`
	Built  int `json:"built"`
	Failed int `json:"failed"`
	// Seconds from the time when the run was queued to its end; 0 before.
	Seconds float64 `json:"seconds"`
}

// Runs returns the newest runs, at most limit of them; 0 is 100.
func (s *Store) Runs(ctx context.Context, limit int) ([]RunSummary, error) {
	if limit <= 0 {
		limit = 100
	}
	runs, err := read(ctx, s, scanSummary, "select "+runColumns+`, l.reused, l.built, l.failed,
			coalesce(extract(epoch from r.finished - r.queued), 0)::float8
		from (select * from runs order by id desc limit $1) r
		join moves m on m.id = r.move join repositories g on g.id = m.repository
		left join lateral (
			select count(*) filter (where state = 'reused') as reused, count(*) filter (where state = 'built') as built,
				count(*) filter (where state in ('failed', 'blocked', 'cancelled')) as failed
			from run_layers where run = r.id) l on true
		order by r.id desc`, limit)
	if err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	return runs, nil
}

func scanSummary(row pgx.CollectableRow) (r RunSummary, err error) {
	places, done := runPlaces(&r.Run)
	if err := row.Scan(append(places, &r.Reused, &r.Built, &r.Failed, &r.Seconds)...); err != nil {
		return r, err
	}
	done()
	return r, nil
}
