package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// RefStates returns where the builds of the refs of some repositories stand. A
// ref that no run was for yet is left out.
func (s *Store) RefStates(ctx context.Context, urls []string) ([]deploy.RefState, error) {
	states, err := read(ctx, s, func(row pgx.CollectableRow) (r deploy.RefState, err error) {
		var ref string
		err = row.Scan(&r.Repository, &ref, &r.Commit, &r.Run, &r.Open, &r.Problem, &r.Told, &r.Released)
		r.Ref = decodeRef(ref)
		return r, err
	}, `select g.url, f.name, coalesce(n.new_commit, f.commit), n.id, n.finished is null,
			case when n.state in ('failed', 'cancelled') then n.state || ': ' || n.reason else '' end,
			coalesce(t.id, 0), coalesce(r.id, 0)
		from repositories g join refs f on f.repository = g.id
		cross join lateral (
			select r.id, r.state, r.reason, r.finished, m.new_commit from moves m join runs r on r.move = m.id
			where m.repository = g.id and m.ref = f.name order by m.id desc limit 1) n
		left join lateral (
			select r.id from moves m join runs r on r.move = m.id
			where m.repository = g.id and m.ref = f.name and r.state in ('succeeded', 'failed')
				and exists (select from run_layers l where l.run = r.id)
			order by m.id desc limit 1) t on true
		left join lateral (
			select id from runs where repository = g.id and ref = f.name and snapshot is not null and state = 'succeeded'
			order by id desc limit 1) r on true
		where g.url = any($1)`, urls)
	if err != nil {
		return nil, fmt.Errorf("states of refs: %w", err)
	}
	return states, nil
}

// BuiltLayers returns how the layers of refs stand. A layer that failed has the
// image of the last release. One that the registry lost counts as none.
func (s *Store) BuiltLayers(ctx context.Context, of []deploy.RefState) ([]deploy.BuiltLayer, error) {
	told, released := make([]int64, len(of)), make([]int64, len(of))
	for i, r := range of {
		told[i], released[i] = r.Told, r.Released
	}
	built, err := read(ctx, s, func(row pgx.CollectableRow) (b deploy.BuiltLayer, err error) {
		var reasons []layers.Reason
		var recorded *time.Time
		err = row.Scan(&b.Told, &b.Layer, &b.Key, &b.Image, &b.Commit, &recorded, &b.Failed, &b.Reason, &reasons)
		b.Recorded = orZero(recorded)
		if b.Reason == "" && len(reasons) > 0 {
			b.Reason = string(reasons[0].Kind) + ": " + reasons[0].Detail
			if more := len(reasons) - 1; more > 0 {
				b.Reason += fmt.Sprintf(", and %d more", more)
			}
		}
		return b, err
	}, `select w.told, l.layer, coalesce(l.key, ''), coalesce(i.repository || '@' || i.digest, ''),
			coalesce(case when i.id is not null then s.commit end, ''), case when i.id is not null then s.taken end,
			l.image is null, coalesce(l.error, case when l.image is null then l.state else '' end), l.reasons
		from unnest($1::bigint[], $2::bigint[]) as w(told, released)
		join run_layers l on l.run = w.told and l.state <> 'absent'
		left join runs r on r.id = case when l.image is null then w.released else w.told end
		left join snapshots s on s.id = r.snapshot
		left join snapshot_images si on si.snapshot = s.id and si.layer = l.layer
		left join images i on i.id = coalesce(l.image, si.image) and i.lost_at is null`, told, released)
	if err != nil {
		return nil, fmt.Errorf("layers of refs: %w", err)
	}
	return built, nil
}
