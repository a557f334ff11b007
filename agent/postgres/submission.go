package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// Submission returns what refs of a repository, some or, with tags, all Git tags,
// had of a layer just before a moment, and what they got first from then on. A ref
// counts for the former if it was there at the moment. What it had is told by the
// run that gave it: a snapshot may get other images later.
func (s *Store) Submission(ctx context.Context, url string, refs []layers.Ref, tags bool, layer layers.Name, moment time.Time) (deploy.Submission, error) {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = encodeRef(ref)
	}
	type found struct {
		since bool
		image deploy.LayerImage
	}
	all, err := read(ctx, s, func(row pgx.CollectableRow) (f found, err error) {
		f.image, err = scanLayerImage(row, &f.since)
		return f, err
	}, `with f as (
			select distinct g.id as repository, m.ref from repositories g join moves m on m.repository = g.id
			where g.url = $1 and (m.ref = any($2::text[]) or $3 and m.ref like 'refs/tags/%'))
		select false, f.ref, r.new_commit, r.id, r.finished, coalesce(i.repository || '@' || i.digest, ''), i.lost_at is not null
		from f
		cross join lateral (
			select new_commit from moves where repository = f.repository and ref = f.ref and seen < $5 order by id desc limit 1) at
		cross join lateral (
			select r.id, r.finished, m.new_commit from runs r join moves m on m.id = r.move
			where r.repository = f.repository and r.ref = f.ref and r.snapshot is not null and r.state = 'succeeded' and r.finished < $5
			order by r.id desc limit 1) r
		left join (run_layers l join images i on i.id = l.image) on l.run = r.id and l.layer = $4
		where at.new_commit is not null
		union all
		select true, f.ref, r.new_commit, r.id, r.finished, i.repository || '@' || i.digest, i.lost_at is not null
		from f
		cross join lateral (
			select r.id, r.finished, m.new_commit, l.image from runs r join moves m on m.id = r.move join run_layers l on l.run = r.id
			where r.repository = f.repository and r.ref = f.ref and r.state = 'succeeded' and r.finished >= $5
				and l.layer = $4 and l.image is not null
			order by r.id limit 1) r
		join images i on i.id = r.image`, url, names, tags, layer, moment)
	if err != nil {
		return deploy.Submission{}, fmt.Errorf("releases of %s in %s: %w", layer, url, err)
	}
	var sub deploy.Submission
	for _, f := range all {
		if f.since {
			sub.Since = append(sub.Since, f.image)
		} else {
			sub.Then = append(sub.Then, f.image)
		}
	}
	return sub, nil
}

// LayerImage returns an image that a repository's layer has had, with the last run
// that gave it; nil if there is none of that digest.
func (s *Store) LayerImage(ctx context.Context, url string, layer layers.Name, d digest.Digest) (*deploy.LayerImage, error) {
	found, err := read(ctx, s, func(row pgx.CollectableRow) (deploy.LayerImage, error) { return scanLayerImage(row) },
		`select r.ref, m.new_commit, r.id, coalesce(r.finished, r.queued), i.repository || '@' || i.digest, i.lost_at is not null
		from repositories g join runs r on r.repository = g.id join moves m on m.id = r.move
		join run_layers l on l.run = r.id join images i on i.id = l.image
		where g.url = $1 and l.layer = $2 and i.digest = $3 order by i.lost_at is not null, r.id desc limit 1`, url, layer, d)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func scanLayerImage(row pgx.CollectableRow, before ...any) (i deploy.LayerImage, err error) {
	var ref string
	err = row.Scan(append(before, &ref, &i.Commit, &i.Run, &i.Recorded, &i.Image, &i.Lost)...)
	i.Ref = decodeRef(ref)
	return i, err
}
