package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// chain returns what an image stands on, the nearest first. The depth is
// bounded, as labels, which anybody can write, could make a circle.
func (s *Store) chain(ctx context.Context, image int64) ([]Link, error) {
	return read(ctx, s, func(r pgx.CollectableRow) (l Link, err error) {
		err = r.Scan(&l.Name, &l.Digest, &l.Layer, &l.Outside)
		return l, err
	}, `with recursive chain(depth, ref, digest) as (
			select 1, base_image_ref, base_image_digest from images where id = $1
			union all
			select c.depth + 1, below.base_image_ref, below.base_image_digest
			from chain c
			cross join lateral (
				select * from images b where b.digest = c.digest order by b.lost_at is not null, b.id desc limit 1
			) below
			where c.depth < 64
		)
		select coalesce(c.ref, ''), coalesce(c.digest, ''), coalesce(own.layer, ''), own.layer is null
		from chain c
		left join lateral (select layer from images b where b.digest = c.digest limit 1) own on true
		where c.ref is not null or c.digest is not null
		order by c.depth`, image)
}

// standingOn returns everything that stands on any of some images. One whose
// digest is not known counts by its name.
func (s *Store) standingOn(ctx context.Context, on ...agent.Base) ([]Standing, error) {
	var digests, names []string
	for _, base := range on {
		if base.Digest != "" {
			digests = append(digests, string(base.Digest))
		} else {
			names = append(names, base.Name)
		}
	}
	return read(ctx, s, func(r pgx.CollectableRow) (t Standing, err error) {
		var lost *time.Time
		err = r.Scan(&t.Layer, &t.Repository, &t.Digest, &t.Parent, &t.Published, &lost, &t.Tags)
		t.Lost = orZero(lost)
		return t, err
	}, `with recursive above(digest) as (
			select i.digest::text from images i
			where i.base_image_digest = any($1) or i.base_image_digest is null and i.base_image_ref = any($2)
			union
			select i.digest::text from above a join images i on i.base_image_digest = a.digest
		)
		select i.layer, i.repository, i.digest, coalesce(i.base_image_digest, ''), i.published, i.lost_at,
			array(select t.repository || ':' || t.name from tags t where t.digest = i.digest order by 1)
		from above a join images i on i.digest = a.digest
		order by i.id desc limit $3`, digests, names, maxTraced)
}
