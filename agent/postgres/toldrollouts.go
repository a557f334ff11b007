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

// UntoldRollout takes, until the lease ends by the database's clock, the oldest
// rollout to images of some repositories that ended within the last day, or has
// begun and not ended, and of which a target was not told that; nil if there is
// none. One that ended before it began is none. While another rollout of the same
// environment is taken, none of that environment is.
func (s *Store) UntoldRollout(ctx context.Context, target string, lease time.Duration, urls ...string) (*agent.RolloutReport, error) {
	var taken []agent.RolloutReport
	target = cut(target, maxShort)
	err := s.transact(ctx, repeatable, func(tx pgx.Tx) error {
		// One after another: who comes second sees what the first has taken.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended($1, 0))", "lab-layers tell rollouts "+s.schema+" "+target); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			with found as materialized ( -- else all rollouts ever might be gone through in order
				select id, environment, repository, state from rollouts where started is not null and finished > now() - interval '1 day'
				union all
				select id, environment, repository, 'rolling' from rollouts where started is not null and finished is null),
			due as (
				select r.id from found r left join told_rollouts t on t.rollout = r.id and t.target = $1
				where r.repository in (select id from repositories where url = any($3)) and t.state is distinct from r.state
				and (t.not_before is null or t.not_before <= now())
				and not exists (
					select from told_rollouts b join rollouts o on o.id = b.rollout
					where b.target = $1 and b.busy and b.not_before > now() and o.environment = r.environment)
				order by r.id limit 1),
			mine as (
				insert into told_rollouts as t (rollout, target, attempt, busy, not_before) select id, $1, 1, true, now() + $2 from due
				on conflict (rollout, target) do update set attempt = t.attempt + 1, busy = true, not_before = excluded.not_before
				returning rollout, attempt)
			select `+rolloutColumns+`, mine.attempt from mine join rollouts r on r.id = mine.rollout
			join environments e on e.id = r.environment join repositories g on g.id = r.repository`, target, lease, urls)
		if err != nil {
			return err
		}
		taken, err = pgx.CollectRows(rows, scanRolloutReport)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find a rollout to tell of: %w", err)
	}
	if len(taken) == 0 {
		return nil, nil
	}
	return &taken[0], nil
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
