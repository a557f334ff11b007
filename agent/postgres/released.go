package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Released returns those of some keys whose images a ref has released since a
// branch began, and those that it had then. So it tells what a merge of the
// branch would bring from what the branch has only not kept up with.
func (s *Store) Released(ctx context.Context, repository agent.RepositoryID, ref, branch layers.Ref, keys []layers.Key) (map[layers.Key]bool, error) {
	found, err := read(ctx, s, pgx.RowTo[layers.Key], `
		with began as (
			select max(id) as move from moves where repository = $1 and ref = $3 and old_commit is null),
		since as (
			select max(r.id) as run from runs r, began
			where r.repository = $1 and r.ref = $2 and r.snapshot is not null and r.state = 'succeeded' and r.move < began.move)
		select distinct l.key from runs r join run_layers l on l.run = r.id
		where r.repository = $1 and r.ref = $2 and r.snapshot is not null and r.state = 'succeeded'
			and r.id >= coalesce((select run from since), 0) and l.key = any($4)`,
		repository, encodeRef(ref), encodeRef(branch), keys)
	if err != nil {
		return nil, fmt.Errorf("what %s released since %s began: %w", ref, branch, err)
	}
	released := map[layers.Key]bool{}
	for _, key := range found {
		released[key] = true
	}
	return released, nil
}
