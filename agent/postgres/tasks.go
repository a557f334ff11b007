package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/deploy"
)

// RecordTask records where a task stands. Another of its name that has not ended
// was deleted. What is final stays.
func (s *Store) RecordTask(ctx context.Context, t deploy.Task) error {
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `update tasks set state = 'deleted', recorded = now(), ended = now()
			where namespace = $1 and name = $2 and uid <> $3 and ended is null`, t.Namespace, t.Name, t.UID); err != nil {
			return err
		}
		var run *int64
		if t.Run != 0 {
			run = &t.Run
		}
		_, err := tx.Exec(ctx, `insert into tasks as t (namespace, name, uid, by, repository, layer, track, digest, ref, commit, run, gpus, queue, state,
				reason, attempts, submitted, admitted, scheduled, started, finished, released, ended)
			values ($1, $2, $3, $4, (select id from repositories where url = $5), $6, $7, $8, $9, $10, $11, $12, $13, $14,
				$15, $16, $17, $18, $19, $20, $21, $22, case when $23 then now() end)
			on conflict (uid) do update set
				repository = excluded.repository, digest = excluded.digest, ref = excluded.ref, commit = excluded.commit, run = excluded.run,
				state = excluded.state, reason = excluded.reason, attempts = excluded.attempts, admitted = excluded.admitted,
				scheduled = excluded.scheduled, started = excluded.started, finished = excluded.finished, released = excluded.released,
				recorded = now(), ended = excluded.ended
			where t.ended is null`,
			t.Namespace, t.Name, t.UID, cut(t.User, maxShort), t.Repository, t.Layer, cut(t.Track, maxShort), orNull(t.Digest), encodeRef(t.Ref),
			orNull(t.Commit), run, t.GPUs, cut(t.Queue, maxShort), t.State, cut(t.Reason, maxShort), t.Attempts,
			t.Submitted, known(t.Admitted), known(t.Scheduled), known(t.Started), known(t.Finished), known(t.Released), t.State.Final())
		return err
	})
	if err != nil {
		return fmt.Errorf("record task %s: %w", t, err)
	}
	return nil
}

// known is a time for a column that is null while it is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// TaskGone records that the tasks of a name were deleted, as far as they had not
// ended.
func (s *Store) TaskGone(ctx context.Context, namespace, name string) error {
	err := s.write(ctx, `update tasks set state = 'deleted', recorded = now(), ended = now()
		where namespace = $1 and name = $2 and ended is null`, namespace, name)
	if err != nil {
		return fmt.Errorf("record that task %s/%s is gone: %w", namespace, name, err)
	}
	return nil
}

// TaskEnds records when the program of a namespace's task that was deleted ended.
func (s *Store) TaskEnds(ctx context.Context, namespace, uid string, finished time.Time) error {
	err := s.write(ctx, `update tasks set finished = $3, recorded = now() where namespace = $1 and uid = $2 and state = 'deleted'
		and started is not null and finished is null`, namespace, clean(uid), finished)
	if err != nil {
		return fmt.Errorf("record the end of a task: %w", err)
	}
	return nil
}

// OpenTasks returns the tasks that have not ended, the oldest first.
func (s *Store) OpenTasks(ctx context.Context) ([]deploy.Task, error) {
	return s.tasks(ctx, "t.ended is null order by t.id")
}

// Tasks returns the newest tasks first, at most limit of them: those of a namespace
// and a user, of all if they are empty. Of those submitted within one second the one
// that was first seen last comes first.
func (s *Store) Tasks(ctx context.Context, namespace, user string, limit int) ([]deploy.Task, error) {
	return s.tasks(ctx, "($1 = '' or t.namespace = $1) and ($2 = '' or t.by = $2) order by t.submitted desc, t.id desc limit $3", clean(namespace), clean(user), limit)
}

func (s *Store) tasks(ctx context.Context, condition string, args ...any) ([]deploy.Task, error) {
	tasks, err := read(ctx, s, func(row pgx.CollectableRow) (t deploy.Task, err error) {
		var ref string
		var times [5]*time.Time
		err = row.Scan(&t.Namespace, &t.Name, &t.UID, &t.User, &t.Repository, &t.Layer, &t.Track, &t.Digest, &ref, &t.Commit, &t.Run, &t.GPUs,
			&t.Queue, &t.State, &t.Reason, &t.Attempts, &t.Submitted, &times[0], &times[1], &times[2], &times[3], &times[4])
		t.Ref = decodeRef(ref)
		t.Admitted, t.Scheduled, t.Started = orZero(times[0]), orZero(times[1]), orZero(times[2])
		t.Finished, t.Released = orZero(times[3]), orZero(times[4])
		return t, err
	}, `select t.namespace, t.name, t.uid, t.by, coalesce(g.url, ''), t.layer, t.track, coalesce(t.digest, ''), t.ref, coalesce(t.commit, ''),
			coalesce(t.run, 0), t.gpus, t.queue, t.state, t.reason, t.attempts, t.submitted, t.admitted, t.scheduled, t.started, t.finished, t.released
		from tasks t left join repositories g on g.id = t.repository where `+condition, args...)
	if err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	return tasks, nil
}
