package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
)

// Finish writes a verdict in one transaction: what became of each layer, the
// snapshot, the tags, and the run's final state. Its images must have been
// published. Earlier runs of the ref that were put off are superseded. The error
// wraps [agent.ErrLost] if the claim was lost; nothing is written then.
// The same verdict again is no error and changes nothing.
func (s *Store) Finish(ctx context.Context, run agent.Run, v agent.Verdict) error {
	if !v.State.Final() {
		return fmt.Errorf("finish run %d: %q is not a final state", run.ID, v.State)
	}
	v.Reason = cut(v.Reason, maxShort)
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		claim, err := claimed(ctx, tx, run, v)
		if errors.Is(err, errWritten) {
			return nil
		}
		if err != nil {
			return err
		}
		var batch pgx.Batch
		if err := writeOutcomes(&batch, run.ID, v); err != nil {
			return err
		}
		if v.Snapshot != nil {
			writeSnapshot(&batch, run.ID, claim, v.Snapshot)
		}
		writeTags(&batch, run.ID, v.Tags)
		var commit *string
		if v.Snapshot != nil {
			commit = orNull(v.Snapshot.Commit)
		}
		batch.Queue(`update runs set state = $2, reason = $3, finished = now(), lease_until = null,
			snapshot = (select id from snapshots where repository = $4 and commit = $5) where id = $1`,
			run.ID, v.State, v.Reason, claim.repository, commit)
		batch.Queue("delete from turns where run = $1", run.ID) // of attempts that were killed
		if v.State == agent.Succeeded || v.State == agent.Failed {
			// Runs that were put off and overtaken would take the ref's tags back.
			batch.Queue(`update runs e set state = 'superseded', reason = 'overtaken by run ' || r.id, finished = now()
				from runs r where r.id = $1 and e.repository = r.repository and e.ref = r.ref and e.id < r.id and e.state = 'queued'`, run.ID)
		}
		if v.State == agent.Succeeded && v.Snapshot != nil {
			batch.Queue("select pg_notify($1, '')", s.releaseChannel())
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("finish run %d: %w", run.ID, err)
	}
	return nil
}

// errWritten says that the verdict stands already.
var errWritten = errors.New("the verdict is written already")

// claim is what is known of a run that its owner has.
type claim struct {
	repository agent.RepositoryID
	// before is the snapshot that a new one of the run is compared with: the
	// one before on the same ref, for a new ref the repository's last.
	before *int64
}

// claimed makes sure that the run's claim counts, and keeps it so.
func claimed(ctx context.Context, tx pgx.Tx, run agent.Run, v agent.Verdict) (c claim, err error) {
	var state agent.State
	var reason string
	var owner, hold *string
	err = tx.QueryRow(ctx, `select r.state, r.reason, r.owner, r.hold::text, r.repository, coalesce(
			(select e.snapshot from runs e
			 where e.repository = r.repository and e.ref = r.ref and e.id < r.id and e.snapshot is not null
			 order by e.id desc limit 1),
			(select max(s.id) from snapshots s where s.repository = r.repository))
		from runs r where r.id = $1 for update of r`, run.ID).
		Scan(&state, &reason, &owner, &hold, &c.repository, &c.before)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = errors.New("there is no such run")
	case err != nil:
	case owner == nil || *owner != run.Owner || orZero(hold) != run.Hold:
		err = agent.ErrLost
	case state.Final() && state == v.State && reason == v.Reason:
		err = errWritten
	case state.Final():
		err = fmt.Errorf("it is %s and stays so", state)
	}
	return c, err
}

func writeTags(batch *pgx.Batch, run agent.RunID, tags []agent.Tag) {
	var repositories, names, of, digests, refs []string
	var expires []any
	for _, t := range tags {
		repositories = append(repositories, t.Repository)
		names = append(names, t.Name)
		of = append(of, string(t.Layer))
		digests = append(digests, string(t.Digest))
		refs = append(refs, encodeRef(t.Ref))
		if t.Expires.IsZero() {
			expires = append(expires, nil)
		} else {
			expires = append(expires, t.Expires)
		}
	}
	batch.Queue(`insert into tags (repository, name, layer, digest, ref, run, expires)
		select distinct on (repository, name) repository, name, layer, digest, ref, $7::bigint, expires
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
			with ordinality as t(repository, name, layer, digest, ref, expires, n)
		order by repository, name, n desc
		on conflict (repository, name) do update set
			layer = excluded.layer, digest = excluded.digest, ref = excluded.ref, run = excluded.run,
			moved = now(), expires = excluded.expires
		where (tags.layer, tags.digest, tags.ref, tags.expires) is distinct from (excluded.layer, excluded.digest, excluded.ref, excluded.expires)`,
		repositories, names, of, digests, refs, expires, run)
}
