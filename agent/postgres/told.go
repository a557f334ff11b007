package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Untold takes, until the lease ends by the database's clock, the oldest run of
// some repositories that ended within the last day and of whose end a target
// was not told. With waiting it is one that has waited for ten seconds and of
// which nothing was told. It returns nil if there is none. While another run of
// the same ref is taken, none of that ref is.
func (s *Store) Untold(ctx context.Context, target string, lease time.Duration, waiting bool, urls ...string) (*agent.Report, error) {
	condition := "finished > now() - interval '1 day'"
	if waiting {
		condition = "state = 'queued' and queued < now() - interval '10 seconds'"
	}
	report, err := s.tell(ctx, target, lease, condition, "r.repository in (select id from repositories where url = any($3))", urls)
	if err != nil {
		return nil, fmt.Errorf("find a run to tell of: %w", err)
	}
	return report, nil
}

// Telling takes a run that is at work, likewise; nil if it has ended or is
// taken.
func (s *Store) Telling(ctx context.Context, target string, lease time.Duration, run agent.RunID) (*agent.Report, error) {
	report, err := s.tell(ctx, target, lease, "state in ('building', 'deploying') and id = $3", "true", run)
	if err != nil {
		return nil, fmt.Errorf("take run %d to tell of it: %w", run, err)
	}
	return report, nil
}

// tell takes the oldest run that two conditions hold for and of whose state the
// target was not told; of one that waits, nothing. The first condition, on runs
// alone, leaves few.
func (s *Store) tell(ctx context.Context, target string, lease time.Duration, first, second string, args ...any) (*agent.Report, error) {
	var taken []agent.Report
	target = cut(target, maxShort)
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		// One after another: who comes second sees what the first has taken.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended($1, 0))", "lab-layers tell "+s.schema+" "+target); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			with found as materialized ( -- else all runs ever might be gone through in order
				select id, repository, ref, state from runs where `+first+`),
			due as (
				select r.id from found r left join told t on t.run = r.id and t.target = $1
				where `+second+` and t.state is distinct from r.state and (r.state <> 'queued' or t.state is null)
				and (t.not_before is null or t.not_before <= now())
				and not exists (
					select from told b join runs o on o.id = b.run
					where b.target = $1 and b.busy and b.not_before > now() and o.repository = r.repository and o.ref = r.ref)
				order by r.id limit 1),
			mine as (
				insert into told as t (run, target, attempt, busy, not_before) select id, $1, 1, true, now() + $2 from due
				on conflict (run, target) do update set attempt = t.attempt + 1, busy = true, not_before = excluded.not_before
				returning run, attempt)
			select `+runColumns+`, mine.attempt, coalesce(twin.id, 0), coalesce(next.id, 0), coalesce(next.new_commit, '')
			from mine join runs r on r.id = mine.run join moves m on m.id = r.move join repositories g on g.id = m.repository
			left join lateral (
				select max(n.id) as id from runs n join moves nm on nm.id = n.move
				where n.repository = r.repository and n.ref = r.ref and n.id > r.id and nm.new_commit = m.new_commit) twin on true
			left join lateral (
				select n.id, nm.new_commit from runs n join moves nm on nm.id = n.move
				where n.repository = r.repository and n.ref = r.ref and n.id > r.id order by n.id desc limit 1) next on true`,
			append([]any{target, lease}, args...)...)
		if err != nil {
			return err
		}
		taken, err = pgx.CollectRows(rows, scanReport)
		return err
	})
	if err != nil || len(taken) == 0 {
		return nil, err
	}
	report := taken[0]
	report.Layers, err = s.reported(ctx, report.Run)
	return &report, err
}

func scanReport(row pgx.CollectableRow) (r agent.Report, err error) {
	places, done := runPlaces(&r.Run)
	if err := row.Scan(append(places, &r.Attempt, &r.Twin, &r.Next, &r.NextCommit)...); err != nil {
		return r, err
	}
	done()
	return r, nil
}

// reported are the layers of a run that has ended.
func (s *Store) reported(ctx context.Context, run agent.Run) ([]agent.ReportedLayer, error) {
	if !run.State.Final() {
		return nil, nil
	}
	return read(ctx, s, func(row pgx.CollectableRow) (l agent.ReportedLayer, err error) {
		var failed *string
		var failure agent.Failure
		err = row.Scan(&l.Name, &l.Kind, &l.Key, &l.State, &l.Reasons, &l.Seconds, &l.Own, &l.Image,
			&failed, &failure.File, &failure.Line, &failure.Instruction, &failure.Tail)
		if failed != nil {
			failure.Text = *failed
			l.Error = &failure
		}
		l.Step = layers.Build
		if l.State == pipeline.Reused {
			l.Step = layers.Reuse
		}
		return l, err
	}, `select l.layer, coalesce(l.kind, ''), coalesce(l.key, ''), l.state, l.reasons, l.seconds,
			coalesce((select sum(size) from image_blobs where image = i.id and own), 0)::bigint, coalesce(i.repository || '@' || i.digest, ''),
			l.error, coalesce(l.error_file, ''), coalesce(l.error_line, 0), coalesce(l.error_instruction, ''), l.error_tail
		from run_layers l left join images i on i.id = l.image
		where l.run = $1 and l.state <> 'absent' order by l.position`, run.ID)
}

// Estimates are the medians, in seconds, of the last builds of a repository's
// layers: of those among its last 200 runs that left images.
func (s *Store) Estimates(ctx context.Context, repository agent.RepositoryID) (map[layers.Name]float64, error) {
	type estimate struct {
		Layer   layers.Name
		Seconds float64
	}
	found, err := read(ctx, s, pgx.RowToStructByPos[estimate], `
		select l.layer, percentile_cont(0.5) within group (order by l.seconds)
		from (select id from runs where repository = $1 and snapshot is not null order by id desc limit 200) r
		join run_layers l on l.run = r.id where l.state = 'built' group by l.layer`, repository)
	if err != nil {
		return nil, fmt.Errorf("estimate builds of repository %d: %w", repository, err)
	}
	estimates := make(map[layers.Name]float64, len(found))
	for _, e := range found {
		estimates[e.Layer] = e.Seconds
	}
	return estimates, nil
}

// Told records that a target was told that a run is in a state, and gives the
// run back.
func (s *Store) Told(ctx context.Context, target string, run agent.RunID, state agent.State) error {
	err := s.write(ctx, `update told set state = $3, at = now(), busy = false, attempt = 0, not_before = now()
			where run = $1 and target = $2`, run, cut(target, maxShort), state)
	if err != nil {
		return fmt.Errorf("record what was told of run %d: %w", run, err)
	}
	return nil
}

// Unheard gives back a run of which a target could not be told, not to be taken
// before a while.
func (s *Store) Unheard(ctx context.Context, target string, run agent.RunID, after time.Duration) error {
	err := s.write(ctx, `update told set busy = false, not_before = now() + $3
			where run = $1 and target = $2`, run, cut(target, maxShort), after)
	if err != nil {
		return fmt.Errorf("record what was not told of run %d: %w", run, err)
	}
	return nil
}
