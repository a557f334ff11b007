package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
)

const (
	// settledAfter is for how long a rollout that ended may not be seen yet: its
	// transaction began then, and takes no longer.
	settledAfter = 10 * time.Minute
	// sweepEvery is how often all of the last day is gone through nevertheless: the
	// database's clock may have been set back.
	sweepEvery = time.Hour
)

// settled is since when, by the database's clock, rollouts may have ended of which a
// target was not told that, and when all of the last day was gone through.
type settled struct {
	since *time.Time // nil: since ever
	swept time.Time
}

// UntoldRollout takes, until the lease ends by the database's clock, the oldest
// rollout to images of some repositories that ended within the last day, or has
// begun and not ended, and of which a target was not told that; nil if there is
// none. One that ended before it began is none. While another rollout of the same
// environment is taken, none of that environment is.
func (s *Store) UntoldRollout(ctx context.Context, target string, lease time.Duration, urls ...string) (*agent.RolloutReport, error) {
	var taken []agent.RolloutReport
	target = cut(target, maxShort)
	is := s.settledRollouts(target)
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		// One after another: who comes second sees what the first has taken.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended($1, 0))", "lab-layers tell rollouts "+s.schema+" "+target); err != nil {
			return err
		}
		// Those of other repositories, and those that are put off, are untold, too.
		var due *int64
		err := tx.QueryRow(ctx, `
			with untold as materialized ( -- else all rollouts ever might be gone through in order
				select r.id, r.environment, r.repository, r.finished, t.not_before from (
					select id, environment, repository, state, finished from rollouts
					where started is not null and finished >= greatest(now() - interval '1 day', $2::timestamptz)
					union all
					select id, environment, repository, 'rolling', null from rollouts where started is not null and finished is null) r
				left join lateral ( -- one by one: most often there are few
					select state, not_before from told_rollouts where rollout = r.id and target = $1 limit 1) t on true
				where t.state is distinct from r.state)
			select least(now() - $4::interval, min(finished)), (
				select r.id from untold r
				where r.repository in (select id from repositories where url = any($3))
				and (r.not_before is null or r.not_before <= now())
				and not exists (
					select from told_rollouts b join rollouts o on o.id = b.rollout
					where b.target = $1 and b.busy and b.not_before > now() and o.environment = r.environment)
				order by r.id limit 1)
			from untold`, target, is.since, urls, settledAfter).Scan(&is.since, &due)
		if err != nil || due == nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			with mine as (
				insert into told_rollouts as t (rollout, target, attempt, busy, not_before) values ($2, $1, 1, true, now() + $3)
				on conflict (rollout, target) do update set attempt = t.attempt + 1, busy = true, not_before = excluded.not_before
				returning rollout, attempt)
			select `+rolloutColumns+`, mine.attempt from mine join rollouts r on r.id = mine.rollout
			join environments e on e.id = r.environment join repositories g on g.id = r.repository`, target, *due, lease)
		if err != nil {
			return err
		}
		taken, err = pgx.CollectRows(rows, scanRolloutReport)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find a rollout to tell of: %w", err)
	}
	s.settleRollouts(target, is)
	if len(taken) == 0 {
		return nil, nil
	}
	return &taken[0], nil
}

// settledRollouts is what is known of a target; nothing if that is to be found anew.
func (s *Store) settledRollouts(target string) settled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is, known := s.settled[target]; known && time.Since(is.swept) < sweepEvery {
		return is
	}
	return settled{swept: time.Now()}
}

func (s *Store) settleRollouts(target string, is settled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[target] = is
}

func scanRolloutReport(row pgx.CollectableRow) (agent.RolloutReport, error) {
	var r deploy.Rollout
	var attempt int
	places, done := rolloutPlaces(&r)
	if err := row.Scan(append(places, &attempt)...); err != nil {
		return agent.RolloutReport{}, err
	}
	done()
	report := agent.RolloutReport{
		ID: r.ID, Attempt: attempt, Environment: r.Environment.String(), Repository: r.Repository, Ref: r.Ref, Commit: r.Commit,
		Run: agent.RunID(r.Run), Pinned: r.Pinned, State: string(r.State), Ended: r.State.Final(), Reason: r.Reason, Remark: r.Remark,
		Queued: r.Queued, Started: r.Started, Finished: r.Finished,
	}
	if !report.Ended {
		// How far it is changes, and the same is to be told in the same words.
		report.State, report.Reason = string(deploy.Rolling), ""
	}
	for _, i := range r.Images {
		_, was, _ := strings.Cut(i.From, "@")
		_, now, _ := strings.Cut(i.To, "@")
		report.Images = append(report.Images, agent.RolledImage{Container: i.Container, Layer: i.Layer, From: i.From, To: i.To, FromDigest: was, ToDigest: now})
	}
	return report, nil
}

// ToldRollout records that a target was told that a rollout is in a state, and
// gives it back.
func (s *Store) ToldRollout(ctx context.Context, target string, rollout int64, state string) error {
	err := s.write(ctx, `update told_rollouts set state = $3, at = now(), busy = false, attempt = 0, not_before = now()
			where rollout = $1 and target = $2`, rollout, cut(target, maxShort), state)
	if err != nil {
		return fmt.Errorf("record what was told of rollout %d: %w", rollout, err)
	}
	return nil
}

// UnheardRollout gives back a rollout of which a target could not be told, not to be
// taken before a while.
func (s *Store) UnheardRollout(ctx context.Context, target string, rollout int64, after time.Duration) error {
	err := s.write(ctx, `update told_rollouts set busy = false, not_before = now() + $3
			where rollout = $1 and target = $2`, rollout, cut(target, maxShort), after)
	if err != nil {
		return fmt.Errorf("record what was not told of rollout %d: %w", rollout, err)
	}
	return nil
}
