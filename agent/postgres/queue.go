package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// Ping asks the database for an answer, once.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

// Queue counts the runs that have not ended, of all repositories, by state. A
// state that no run is in is left out.
func (s *Store) Queue(ctx context.Context) ([]agent.QueueState, error) {
	queue, err := read(ctx, s, func(row pgx.CollectableRow) (q agent.QueueState, err error) {
		var seconds float64
		err = row.Scan(&q.State, &q.Runs, &seconds)
		q.Oldest = time.Duration(seconds * float64(time.Second))
		return q, err
	}, `select state, count(*), extract(epoch from now() - min(queued))::float8 from runs
		where state in ('queued', 'building', 'deploying') group by state order by state`)
	if err != nil {
		return nil, fmt.Errorf("count the queue: %w", err)
	}
	return queue, nil
}
