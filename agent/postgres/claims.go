package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// runColumns is what [scanRun] reads, of runs r, moves m and repositories g.
const runColumns = `r.id, r.state, r.attempt, r.reason, r.queued, r.started, r.finished,
	m.repository, g.url, m.ref, m.old_commit, m.new_commit, m.quiet, r.doubted, r.owner, r.hold::text`

// runPlaces are the destinations of [runColumns]; call done after a scan.
func runPlaces(run *agent.Run) (places []any, done func()) {
	var started, finished *time.Time
	var ref string
	var from, to, owner, hold *string
	done = func() {
		run.Started, run.Finished = orZero(started), orZero(finished)
		run.Move.Ref = decodeRef(ref)
		run.Move.Old, run.Move.New = layers.Commit(orZero(from)), layers.Commit(orZero(to))
		run.Owner, run.Hold = orZero(owner), orZero(hold)
	}
	return []any{&run.ID, &run.State, &run.Attempt, &run.Reason, &run.Queued, &started, &finished,
		&run.Move.Repository, &run.Move.URL, &ref, &from, &to, &run.Move.Quiet, &run.Doubted, &owner, &hold}, done
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func scanRun(row pgx.CollectableRow) (run agent.Run, err error) {
	places, done := runPlaces(&run)
	if err := row.Scan(places...); err != nil {
		return run, err
	}
	done()
	return run, nil
}

// Claim takes a queued run of the repositories that is due, or one whose claim
// has lapsed, and makes it Building until the lease ends, by the database's
// clock. The runs of one ref go one after another, in their order; a later one
// overtakes only one that was put off. It returns nil if there is none, and
// while somebody is [Store.Alone].
//
// Of several it takes one that was pushed before one that only looks after
// images again; then one of the repository that has the fewest at work and has
// waited longest; then main's; then the oldest.
func (s *Store) Claim(ctx context.Context, owner string, lease time.Duration, urls ...string) (*agent.Run, error) {
	var runs []agent.Run
	var err error
	for range maxMeetings {
		if runs, err = s.claim(ctx, owner, lease, urls); !met(err) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim a run: %w", err)
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return &runs[0], nil
}

// unwaited has a transaction not wait for the disk. A claim that a power cut or a
// killed PostgreSQL takes back is one that was not made: its owner finds that it is
// lost.
const unwaited = "select set_config('synchronous_commit', 'off', true)"

func (s *Store) claim(ctx context.Context, owner string, lease time.Duration, urls []string) (runs []agent.Run, err error) {
	err = again(ctx, once, func() error {
		var batch pgx.Batch
		batch.Queue(unwaited)
		batch.Queue(`
				with cut as (
					update runs set state = cut_as, reason = cut_reason, finished = now(), lease_until = null
					where state in ('building', 'deploying') and lease_until < now() and cut_as is not null),
				open as materialized (select pg_try_advisory_xact_lock_shared(hashtextextended($5, 0)) as is_open),
				waiting as (
					select repository, (select max(s.started) from runs s where s.repository = w.repository) as served,
						(select count(*) from runs b where b.state in ('building', 'deploying')
							and b.repository = w.repository and b.lease_until >= now()) as at_work
					from (select distinct repository from runs where state in ('queued', 'building', 'deploying')
						and ($3::text[] is null or repository in (select id from repositories where url = any($3)))) w),
				r as (
					update runs set state = 'building', owner = $1, hold = gen_random_uuid(), lease_until = now() + $2, attempt = attempt + 1, started = now()
					where id = (
						select r.id from runs r join waiting w on w.repository = r.repository join moves m on m.id = r.move
						where (select is_open from open) and r.state in ('queued', 'building', 'deploying')
						and (r.state = 'queued' and r.not_before <= now() or r.lease_until < now())
						and r.cut_as is null and ($4 = 0 or w.at_work < $4)
						and not exists (
							select from runs e
							where e.state in ('queued', 'building', 'deploying')
							and e.repository = r.repository and e.ref = r.ref and e.id <> r.id
							and (e.state <> 'queued' or e.id < r.id and e.not_before <= now()))
						order by m.again, w.at_work, w.served nulls first, r.ref in ('refs/heads/main', 'refs/heads/master') desc, r.id
						limit 1 for update of r skip locked)
					returning *)
				select `+runColumns+` from r join moves m on m.id = r.move join repositories g on g.id = m.repository`,
			cut(owner, maxShort), lease, urls, s.perRepository, s.alone()).Query(func(rows pgx.Rows) (err error) {
			runs, err = pgx.CollectRows(rows, scanRun)
			return err
		})
		return s.pool.SendBatch(ctx, &batch).Close()
	})
	return runs, err
}

// holding is the condition of writes under a claim, by its run, owner and hold. The
// owner counts besides, as an older program that takes the run over leaves the
// hold alone. The number of the attempt would not do: a claim is not waited for on
// the disk, so PostgreSQL may give the same number again after a crash.
const holding = "id = $1 and owner = $2 and hold = $3 and lease_until is not null"

// Extend prolongs a claim, also one that has lapsed but that nobody has taken
// since. The error wraps [agent.ErrLost] if it was lost, and is an [agent.CutOff]
// if the run is to end.
func (s *Store) Extend(ctx context.Context, run agent.Run, lease time.Duration) error {
	var end agent.CutOff
	err := again(ctx, repeatable, func() error {
		var batch pgx.Batch
		batch.Queue(unwaited)
		batch.Queue("update runs set lease_until = now() + $4 where "+holding+" returning coalesce(cut_as, ''), coalesce(cut_reason, '')",
			run.ID, run.Owner, orNull(run.Hold), lease).QueryRow(func(row pgx.Row) error { return row.Scan(&end.State, &end.Reason) })
		err := s.pool.SendBatch(ctx, &batch).Close()
		if errors.Is(err, pgx.ErrNoRows) {
			return agent.ErrLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("extend the claim on run %d: %w", run.ID, err)
	}
	if end.State != "" {
		return end
	}
	return nil
}

// Release gives a run back to the queue, to be claimed after a while; one that
// is to end has ended then. The error wraps [agent.ErrLost] if the claim was
// lost.
func (s *Store) Release(ctx context.Context, run agent.Run, delay agent.Delay) error {
	err := again(ctx, once, func() error {
		tag, err := s.pool.Exec(ctx, release("$4", "$5")+", doubted = doubted + $6::bool::int where "+holding,
			run.ID, run.Owner, orNull(run.Hold), delay.For, cut(delay.Reason, maxShort), delay.Doubtful)
		if err == nil && tag.RowsAffected() == 0 {
			return agent.ErrLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("release run %d: %w", run.ID, err)
	}
	return nil
}

// ReleaseAll gives all runs of an owner who is dead back to the queue, to be
// claimed at once.
func (s *Store) ReleaseAll(ctx context.Context, owner, reason string) error {
	if err := s.write(ctx, release("interval '0'", "$2")+" where owner = $1 and lease_until is not null", cut(owner, maxShort), cut(reason, maxShort)); err != nil {
		return fmt.Errorf("release the runs of %s: %w", owner, err)
	}
	return nil
}

// release gives runs back for a reason, or ends them as they are to.
func release(after, reason string) string {
	return `update runs set state = coalesce(cut_as, 'queued'), owner = case when cut_as is null then null else owner end, lease_until = null,
		not_before = now() + ` + after + `, reason = coalesce(cut_reason, ` + reason + `), finished = case when cut_as is null then null else now() end`
}
