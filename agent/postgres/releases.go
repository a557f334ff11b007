package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

// Releases returns, of each ref of a repository that is among some or, with
// tags, is a Git tag, what the last run that succeeded there released. Refs that
// are gone, and images that the registry lost, are left out.
func (s *Store) Releases(ctx context.Context, url string, refs []layers.Ref, tags bool) ([]deploy.Release, error) {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = encodeRef(ref)
	}
	releases, err := read(ctx, s, func(row pgx.CollectableRow) (r deploy.Release, err error) {
		var ref string
		r.Repository = url
		err = row.Scan(&ref, &r.Run, &r.Commit, &r.Recorded, &r.Images, &r.Parents)
		r.Ref = decodeRef(ref)
		return r, err
	}, `select f.name, r.id, s.commit, r.finished, (
			select coalesce(jsonb_object_agg(si.layer, i.repository || '@' || i.digest), '{}')
			from snapshot_images si join images i on i.id = si.image where si.snapshot = s.id and i.lost_at is null), (
			select coalesce(jsonb_object_agg(si.layer, pl.layer), '{}')
			from snapshot_images si join images i on i.id = si.image
			join (snapshot_images pl join images pi on pi.id = pl.image) on pl.snapshot = s.id and pi.digest = i.base_image_digest
			where si.snapshot = s.id and pl.layer <> si.layer)
		from repositories g join refs f on f.repository = g.id
		cross join lateral (
			select id, snapshot, finished from runs
			where repository = g.id and ref = f.name and snapshot is not null and state = 'succeeded'
			order by id desc limit 1) r
		join snapshots s on s.id = r.snapshot
		where g.url = $1 and (f.name = any($2::text[]) or $3 and f.name like 'refs/tags/%')
		order by r.id`, url, names, tags)
	if err != nil {
		return nil, fmt.Errorf("releases of %s: %w", url, err)
	}
	return releases, nil
}

// releaseChannel is what is notified of new releases, pins and wishes.
func (s *Store) releaseChannel() string { return s.schema + "_releases" }

// ListenReleases returns a channel that has something whenever there may be new
// releases or pins, until ctx ends; then it is closed. It is a hint only.
func (s *Store) ListenReleases(ctx context.Context) (<-chan struct{}, error) {
	hints, err := s.listenTo(ctx, s.releaseChannel())
	if err != nil {
		return nil, fmt.Errorf("listen for releases: %w", err)
	}
	return hints, nil
}

// maxReleasedRefs bounds the refs that are named to people.
const maxReleasedRefs = 1000

// ReleasedRefs returns the refs of a repository that have a release, those that were
// released last first, and at most a thousand.
func (s *Store) ReleasedRefs(ctx context.Context, url string) ([]layers.Ref, error) {
	refs, err := read(ctx, s, func(row pgx.CollectableRow) (layers.Ref, error) {
		var ref string
		err := row.Scan(&ref)
		return decodeRef(ref), err
	}, `select f.name from repositories g join refs f on f.repository = g.id
		cross join lateral (
			select id from runs
			where repository = g.id and ref = f.name and snapshot is not null and state = 'succeeded'
			order by id desc limit 1) r
		where g.url = $1 order by r.id desc limit $2`, url, maxReleasedRefs)
	if err != nil {
		return nil, fmt.Errorf("refs of %s that are released: %w", url, err)
	}
	return refs, nil
}
