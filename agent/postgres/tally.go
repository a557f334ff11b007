package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// Tally counts the environments that are not gone, and tells how old rollouts are
// that have not ended.
func (s *Store) Tally(ctx context.Context) (deploy.Tally, error) {
	tally := deploy.Tally{Environments: map[deploy.State]int{}, Oldest: map[deploy.State]time.Duration{}}
	var pinned, unavailable, count int
	var state deploy.State
	var seconds float64
	err := again(ctx, repeatable, func() error {
		tally.Pinned, tally.Unavailable = 0, 0
		var batch pgx.Batch
		batch.Queue(`select e.state, count(*), count(p.environment), count(*) filter (where e.unavailable <> '') from environments e left join pins p on p.environment = e.id
			where e.gone is null group by e.state`).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&state, &count, &pinned, &unavailable}, func() error {
				tally.Environments[state] = count
				tally.Pinned += pinned
				tally.Unavailable += unavailable
				return nil
			})
			return err
		})
		batch.Queue(`select state, extract(epoch from now() - min(queued))::float8 from rollouts
			where finished is null group by state`).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&state, &seconds}, func() error {
				tally.Oldest[state] = time.Duration(seconds * float64(time.Second))
				return nil
			})
			return err
		})
		return s.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return deploy.Tally{}, fmt.Errorf("count the environments: %w", err)
	}
	return tally, nil
}
