package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// standingColumns is what [scanStanding] reads, of environments e and
// repositories g.
const standingColumns = `e.namespace, e.kind, e.name, e.uid, coalesce(g.url, ''), e.track, e.images, coalesce(e.commit, ''),
	e.state, e.reason, e.drift, e.resumed, e.nodes, e.unavailable`

func standingPlaces(v *deploy.Standing) []any {
	e := &v.Environment
	return []any{&e.Namespace, &e.Kind, &e.Name, &v.UID, &v.Repository, &v.Track, &v.Images, &v.Commit, &v.State, &v.Reason, &v.Drift, &v.Resumed, &v.Nodes, &v.Unavailable}
}

// Standings returns where the environments stand that are not gone, by name.
func (s *Store) Standings(ctx context.Context) ([]deploy.Standing, error) {
	standings, err := read(ctx, s, func(row pgx.CollectableRow) (v deploy.Standing, err error) {
		return v, row.Scan(standingPlaces(&v)...)
	}, "select "+standingColumns+` from environments e left join repositories g on g.id = e.repository
		where e.gone is null order by e.namespace, e.name, e.kind`)
	if err != nil {
		return nil, fmt.Errorf("environments: %w", err)
	}
	return standings, nil
}

// Observe records where an environment stands.
func (s *Store) Observe(ctx context.Context, v deploy.Standing) error {
	images, err := document(append([]deploy.Image{}, v.Images...))
	var nodes []byte
	if err == nil && v.Nodes != nil {
		nodes, err = document(v.Nodes)
	}
	if err == nil {
		e := v.Environment
		err = s.write(ctx, `insert into environments as e (namespace, kind, name, uid, repository, track, images, commit, state, reason, drift, nodes, unavailable)
			select $1, $2, $3, $4, (select id from repositories where url = $5), $6, $7, $8, $9, $10, $11, $13, $14
			on conflict (namespace, kind, name) do update set
				uid = excluded.uid, repository = excluded.repository, track = excluded.track, images = excluded.images, commit = excluded.commit,
				state = excluded.state, reason = excluded.reason, drift = excluded.drift, nodes = excluded.nodes, unavailable = excluded.unavailable, resumed = e.resumed and $12,
				adopted = case when e.gone is null then e.adopted else now() end, changed = now(), gone = null`,
			e.Namespace, e.Kind, e.Name, v.UID, v.Repository, cut(v.Track, maxShort), images, orNull(v.Commit), v.State,
			cut(v.Reason, maxShort), cut(v.Drift, maxShort), v.Resumed, nodes, cut(v.Unavailable, maxShort))
	}
	if err != nil {
		return fmt.Errorf("record where %s stands: %w", v.Environment, err)
	}
	return nil
}

// Gone records that an environment is no more. Its rollout, if one is under way,
// is superseded for a reason; its pin stays, for it may come back.
func (s *Store) Gone(ctx context.Context, e deploy.Environment, reason string) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		var batch pgx.Batch
		for _, sql := range []string{
			"update environments set gone = now(), resumed = false, reason = $4 where namespace = $1 and kind = $2 and name = $3 and gone is null",
			"update rollouts set state = 'superseded', finished = now(), reason = $4 where finished is null and environment in (" + environmentID + ")",
		} {
			batch.Queue(sql, e.Namespace, e.Kind, e.Name, cut(reason, maxShort))
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("record that %s is gone: %w", e, err)
	}
	return nil
}

const environmentID = "select id from environments where namespace = $1 and kind = $2 and name = $3"

// Environments returns where the environments stand that are not gone, with
// their pins and last rollouts, by name.
func (s *Store) Environments(ctx context.Context) ([]deploy.Listed, error) {
	listed, err := read(ctx, s, func(row pgx.CollectableRow) (v deploy.Listed, err error) {
		err = row.Scan(append(standingPlaces(&v.Standing), &v.Changed)...)
		return v, err
	}, "select "+standingColumns+`, e.changed from environments e left join repositories g on g.id = e.repository
		where e.gone is null order by e.namespace, e.name, e.kind`)
	if err != nil {
		return nil, fmt.Errorf("environments: %w", err)
	}
	pins, err := s.Pins(ctx)
	if err != nil {
		return nil, err
	}
	rollouts, err := s.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	pinned, last := map[deploy.Environment]*deploy.Pin{}, map[deploy.Environment]*deploy.Rollout{}
	for i, p := range pins {
		pinned[p.Environment] = &pins[i]
	}
	for i, r := range rollouts {
		last[r.Environment] = &rollouts[i]
	}
	for i, v := range listed {
		listed[i].Pinned, listed[i].Rollout = pinned[v.Environment], last[v.Environment]
	}
	return listed, nil
}

// CommitImages returns the images of the one commit of a repository that begins
// so, by layer: PATH@DIGEST below the registry's prefix. The error is a
// [Refusal] if there is none, or are several.
func (s *Store) CommitImages(ctx context.Context, url, commit string) (layers.Commit, map[layers.Name]string, error) {
	type found struct {
		Commit layers.Commit
		Images map[layers.Name]string
	}
	all, err := read(ctx, s, pgx.RowToStructByPos[found], `select s.commit, (
			select coalesce(jsonb_object_agg(si.layer, i.repository || '@' || i.digest), '{}')
			from snapshot_images si join images i on i.id = si.image where si.snapshot = s.id and i.lost_at is null)
		from snapshots s join repositories g on g.id = s.repository
		where g.url = $1 and s.commit >= $2 and s.commit < $2 || 'g' limit 2`, url, commit)
	switch {
	case err != nil:
	case len(all) == 0:
		err = Refusal{fmt.Sprintf("%s has no snapshot of a commit %s", url, commit)}
	case len(all) > 1:
		err = Refusal{fmt.Sprintf("several commits of %s begin with %s", url, commit)}
	default:
		return all[0].Commit, all[0].Images, nil
	}
	return "", nil, err
}
