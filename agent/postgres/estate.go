package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/layers"
)

// Estate reads at one moment what clean-up decides by.
func (s *Store) Estate(ctx context.Context) (e cleanup.Estate, err error) {
	err = again(ctx, repeatable, func() error {
		e = cleanup.Estate{}
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		return pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) (err error) {
			if err = tx.QueryRow(ctx, "select now()").Scan(&e.Now); err != nil {
				return err
			}
			if e.Images, err = collect(ctx, tx, scanKept, `
				select id, key, repository, digest, coalesce(index_digest, ''), coalesce(base_image_digest, ''), greatest(published, lost_at),
					coalesce((select sum(size) from image_blobs where image = images.id and own), 0)::bigint
				from images where removed_at is null or lost_at is null order by id`); err != nil {
				return err
			}
			if e.Tags, err = collect(ctx, tx, scanGivenTag, `
				select t.repository, t.name, t.digest, r.repository, t.ref, coalesce(m.new_commit, ''), t.moved, t.expires,
					case when not exists (select from refs where repository = r.repository and name = t.ref) then coalesce(
						(select max(seen) from moves d where d.repository = r.repository and d.ref = t.ref and d.new_commit is null), t.moved) end
				from tags t join runs r on r.id = t.run join moves m on m.id = r.move
				order by t.repository, t.name`); err != nil {
				return err
			}
			// A workload may be found again as it was when it was last seen.
			if e.Running, err = collect(ctx, tx, scanUse, `
				with last as (select distinct on (environment) environment, images from rollouts order by environment, id desc),
				had as (
					select id as environment, i."to" as image from environments, jsonb_to_recordset(images) as i("to" text)
					union all
					select environment, unnest(array[i."from", i."to", i.good]) from last, jsonb_to_recordset(images) as i("from" text, "to" text, good text)
					union all
					select environment, value from pins, jsonb_each_text(images)),
				used as (select environment, substring(image from '@(sha[0-9]+:[0-9a-f]+)$') as digest from had)
				select distinct u.digest, e.gone from used u join environments e on e.id = u.environment where u.digest is not null
				union
				select digest, case when bool_and(ended is not null) then max(ended) end from tasks where digest is not null group by digest
				order by 1`); err != nil {
				return err
			}
			e.Snapshots, err = collect(ctx, tx, scanSnapshot, `
				with lasting as (
					select distinct r.repository, t.ref from tags t join runs r on r.id = t.run where t.expires is null),
				turns as (
					select repository, ref, snapshot, row_number() over (partition by repository, ref order by max(id) desc) - 1 as turn
					from runs join lasting using (repository, ref) where snapshot is not null group by repository, ref, snapshot),
				ranked as (select snapshot, array_agg(ref) as refs, array_agg(turn) as turns from turns group by snapshot)
				select s.repository, s.commit, s.taken,
					array(select image from snapshot_images where snapshot = s.id),
					array(select name from refs where repository = s.repository and commit = s.commit),
					exists (select from moves m join runs r on r.move = m.id
						where m.new_commit = s.commit and m.repository = s.repository and r.state in ('queued', 'building', 'deploying')),
					k.refs, k.turns
				from snapshots s left join ranked k on k.snapshot = s.id order by s.id`)
			return err
		})
	})
	if err != nil {
		return e, fmt.Errorf("read what clean-up decides by: %w", err)
	}
	return e, nil
}

func collect[T any](ctx context.Context, tx pgx.Tx, row pgx.RowToFunc[T], sql string) ([]T, error) {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, row)
}

func scanKept(row pgx.CollectableRow) (i cleanup.Image, err error) {
	return i, row.Scan(&i.ID, &i.Key, &i.Repository, &i.Digest, &i.Index, &i.Parent, &i.Since, &i.Size)
}

func scanGivenTag(row pgx.CollectableRow) (t cleanup.Tag, err error) {
	var ref string
	var expires, gone *time.Time
	err = row.Scan(&t.Repository, &t.Name, &t.Digest, &t.Of, &ref, &t.Commit, &t.Moved, &expires, &gone)
	t.Ref, t.Expires, t.Gone = decodeRef(ref), orZero(expires), orZero(gone)
	return t, err
}

func scanUse(row pgx.CollectableRow) (u cleanup.Use, err error) {
	var gone *time.Time
	err = row.Scan(&u.Digest, &gone)
	u.Gone = orZero(gone)
	return u, err
}

func scanSnapshot(row pgx.CollectableRow) (s cleanup.Snapshot, err error) {
	var heads, lasting []string
	var turns []int
	err = row.Scan(&s.Repository, &s.Commit, &s.Taken, &s.Images, &heads, &s.Waiting, &lasting, &turns)
	for _, ref := range heads {
		s.Heads = append(s.Heads, decodeRef(ref))
	}
	s.Turns = make(map[layers.Ref]int, len(lasting))
	for i, ref := range lasting {
		s.Turns[decodeRef(ref)] = turns[i]
	}
	return s, err
}
