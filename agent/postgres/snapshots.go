package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// writeSnapshot records the images of a commit. A commit that has a snapshot
// already gets its newer images; a layer that failed this time keeps what it
// had.
func writeSnapshot(batch *pgx.Batch, run agent.RunID, c claim, s *agent.Snapshot) {
	batch.Queue(`insert into snapshots (repository, commit, complete) values ($1, $2, $3)
		on conflict (repository, commit) do update set complete = snapshots.complete or excluded.complete, taken = now()`,
		c.repository, s.Commit, s.Complete)
	var names, keys, digests []string
	for _, name := range slices.Sorted(maps.Keys(s.Images)) {
		names = append(names, string(name))
		keys = append(keys, string(s.Images[name].Key))
		digests = append(digests, string(s.Images[name].Digest))
	}
	// The change set is against the snapshot before; for a layer that it lacks,
	// against the image that the layer last had in the repository.
	batch.Queue(`
		with new as (
			select n.layer, i.id as image, coalesce(
				(select b.image from snapshot_images b where b.snapshot = $7 and b.layer = n.layer),
				(select b.image from run_layers b join runs r on r.id = b.run
				 where b.layer = n.layer and b.run < $6 and b.image is not null and r.repository = $1
				 order by b.run desc limit 1)) as before
			from unnest($3::text[], $4::text[], $5::text[]) as n(layer, key, digest)
			left join images i on i.key = n.key and i.digest = n.digest
		)
		insert into snapshot_images (snapshot, layer, image, layer_hash, layer_size)
		select this.id, new.layer, new.image, coalesce(change.digests, '{}'), coalesce(change.size, 0)
		from snapshots this cross join new
		left join lateral (
			select array_agg(b.digest order by b.position) as digests, sum(b.size)::bigint as size
			from image_blobs b
			where b.image = new.image and new.image is distinct from new.before
			and not exists (select from image_blobs o where o.image = new.before and o.digest = b.digest)
		) change on true
		where this.repository = $1 and this.commit = $2
		on conflict (snapshot, layer) do update
			set image = excluded.image, layer_hash = excluded.layer_hash, layer_size = excluded.layer_size
			where snapshot_images.image <> excluded.image`,
		c.repository, s.Commit, names, keys, digests, run, c.before)
	if s.Complete {
		batch.Queue(`delete from snapshot_images i using snapshots s
			where s.repository = $1 and s.commit = $2 and i.snapshot = s.id and i.layer <> all ($3::text[])`,
			c.repository, s.Commit, names)
	}
}

// Snapshot returns all images of a commit, nil if there are none.
func (s *Store) Snapshot(ctx context.Context, repository agent.RepositoryID, commit layers.Commit) (*agent.Snapshot, error) {
	snapshot, err := s.snapshot(ctx, "s.repository = $1 and s.commit = $2", repository, commit)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", commit.Short(), err)
	}
	return snapshot, nil
}

// snapshot reads the one snapshot s that a condition holds for.
func (s *Store) snapshot(ctx context.Context, condition string, args ...any) (*agent.Snapshot, error) {
	type row struct {
		id       int64
		snapshot agent.Snapshot
	}
	found, err := read(ctx, s, func(r pgx.CollectableRow) (v row, err error) {
		err = r.Scan(&v.id, &v.snapshot.Repository, &v.snapshot.URL, &v.snapshot.Commit, &v.snapshot.Complete, &v.snapshot.Taken)
		return v, err
	}, `select s.id, s.repository, g.url, s.commit, s.complete, s.taken
		from snapshots s join repositories g on g.id = s.repository where `+condition, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	snapshot := found[0].snapshot
	type named struct {
		layer layers.Name
		image pipeline.Image
	}
	images, err := read(ctx, s, func(r pgx.CollectableRow) (v named, err error) {
		v.image, err = scanImage(r, &v.layer)
		return v, err
	}, "select si.layer, "+imageColumns+" from snapshot_images si join images i on i.id = si.image "+blobsOfImage+
		" where si.snapshot = $1", found[0].id)
	if err != nil {
		return nil, err
	}
	snapshot.Images = make(map[layers.Name]pipeline.Image, len(images))
	for _, i := range images {
		snapshot.Images[i.layer] = i.image
	}
	return &snapshot, nil
}
