package postgres

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Repository returns the id for a URL, making a row for a new one.
func (s *Store) Repository(ctx context.Context, address string) (id agent.RepositoryID, err error) {
	// Checked here, as the database would quote it in its own log.
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return 0, fmt.Errorf("repository %s: the URL carries a password", u.Redacted())
		}
	}
	if clean(address) != address {
		return 0, fmt.Errorf("repository %q: the URL is not plain text", address)
	}
	err = again(ctx, repeatable, func() error {
		var batch pgx.Batch
		batch.Queue("insert into repositories (url) values ($1) on conflict do nothing", address)
		batch.Queue("select id from repositories where url = $1", address).QueryRow(func(row pgx.Row) error { return row.Scan(&id) })
		return s.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("repository %s: %w", address, err)
	}
	return id, nil
}

// Refs returns where each ref of a repository was last seen, or only those of
// some names.
func (s *Store) Refs(ctx context.Context, repository agent.RepositoryID, names ...layers.Ref) (map[layers.Ref]layers.Commit, error) {
	query, args := "select repository, name, commit from refs where repository = $1", []any{repository}
	if len(names) > 0 {
		var stored []string
		for _, name := range names {
			stored = append(stored, encodeRef(name))
		}
		query, args = query+" and name = any($2)", append(args, stored)
	}
	places, err := read(ctx, s, pgx.RowToStructByPos[place], query, args...)
	if err != nil {
		return nil, fmt.Errorf("refs of repository %d: %w", repository, err)
	}
	refs := make(map[layers.Ref]layers.Commit, len(places))
	for _, p := range places {
		refs[decodeRef(p.Ref)] = p.Commit
	}
	return refs, nil
}

// place is where a ref is.
type place struct {
	Repository agent.RepositoryID
	Ref        string // as stored
	Commit     layers.Commit
}

// Record writes moves, their runs and the refs' new places in one transaction,
// and returns the runs. A move whose Old is not where the ref was last seen is
// left out, and so is one of a ref whose name is longer than 1,000 bytes.
//
// After an error of the connection the moves may have been recorded: the runs
// are then in the queue.
func (s *Store) Record(ctx context.Context, moves []agent.Move) (runs []agent.Run, err error) {
	err = s.transact(ctx, once, func(tx pgx.Tx) error {
		at, err := lockRefs(ctx, tx, moves)
		if err != nil {
			return err
		}
		applied := apply(moves, at)
		runs, err = writeMoves(ctx, tx, s.channel(), applied, at)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("record %d moves: %w", len(moves), err)
	}
	return runs, nil
}

// spot names a ref.
type spot struct {
	repository agent.RepositoryID
	ref        string // as stored
}

// lockRefs keeps others from recording moves of the same repositories, and
// returns where the refs are.
func lockRefs(ctx context.Context, tx pgx.Tx, moves []agent.Move) (map[spot]layers.Commit, error) {
	var repositories []agent.RepositoryID
	var names []string
	for _, m := range moves {
		repositories = append(repositories, m.Repository)
		names = append(names, encodeRef(m.Ref))
	}
	at := map[spot]layers.Commit{}
	var batch pgx.Batch
	// In the order of ids, so that two never wait for each other.
	batch.Queue("select from repositories where id = any($1) order by id for no key update", repositories)
	batch.Queue(`select r.repository, r.name, r.commit from refs r
		join unnest($1::bigint[], $2::text[]) as m(repository, name) using (repository, name)`, repositories, names).
		Query(func(rows pgx.Rows) error {
			var p place
			_, err := pgx.ForEachRow(rows, []any{&p.Repository, &p.Ref, &p.Commit}, func() error {
				at[spot{p.Repository, p.Ref}] = p.Commit
				return nil
			})
			return err
		})
	return at, tx.SendBatch(ctx, &batch).Close()
}

// apply finds the moves that start where their ref is, and moves it on.
func apply(moves []agent.Move, at map[spot]layers.Commit) (applied []agent.Move) {
	for _, m := range moves {
		name := encodeRef(m.Ref)
		here := spot{m.Repository, name}
		if len(name) > maxRef || m.Old == m.New || at[here] != m.Old {
			continue
		}
		at[here] = m.New
		applied = append(applied, m)
	}
	return applied
}

func writeMoves(ctx context.Context, tx pgx.Tx, channel string, moves []agent.Move, at map[spot]layers.Commit) ([]agent.Run, error) {
	if len(moves) == 0 {
		return nil, nil
	}
	// Most moves of a repository that is seen for the first time are quiet, and
	// there may be many thousands: they go in one statement.
	var quiet columns
	var changed columns
	seen := map[spot]bool{}
	var batch pgx.Batch
	runs := []agent.Run{}
	for _, m := range moves {
		here := spot{m.Repository, encodeRef(m.Ref)}
		if !seen[here] {
			seen[here] = true
			changed.add(here, "", at[here], m.Cuts)
		}
		if m.Quiet || m.New == "" {
			quiet.add(here, m.Old, m.New, false)
			continue
		}
		batch.Queue(`with m as (insert into moves (repository, ref, old_commit, new_commit) values ($1, $2, $3, $4) returning *)
			insert into runs (repository, ref, move) select repository, ref, id from m returning id, queued`, here.repository, here.ref, orNull(m.Old), orNull(m.New)).
			QueryRow(func(row pgx.Row) error {
				run := agent.Run{Move: m, State: agent.Queued}
				err := row.Scan(&run.ID, &run.Queued)
				runs = append(runs, run)
				return err
			})
	}
	batch.Queue(`insert into moves (repository, ref, old_commit, new_commit, quiet)
		select *, true from unnest($1::bigint[], $2::text[], $3::text[], $4::text[])`, quiet.repository, quiet.ref, quiet.from, quiet.to)
	batch.Queue(`delete from refs r using unnest($1::bigint[], $2::text[], $3::text[]) as m(repository, name, commit)
		where r.repository = m.repository and r.name = m.name and m.commit is null`, changed.repository, changed.ref, changed.to)
	batch.Queue(`insert into refs (repository, name, commit)
		select * from unnest($1::bigint[], $2::text[], $3::text[]) as m(repository, name, commit) where m.commit is not null
		on conflict (repository, name) do update set commit = excluded.commit, seen = now()`, changed.repository, changed.ref, changed.to)
	overtake(&batch, changed)
	batch.Queue("select pg_notify($1, '')", channel)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	return runs, nil
}

// overtake ends the runs of refs that have moved on: those that wait at once,
// and those at work, if the move says so, by whoever has them. One statement
// does both, so that a run that is claimed in this moment is not missed.
func overtake(batch *pgx.Batch, changed columns) {
	batch.Queue(`update runs e set
			state = case when e.state = 'queued' then n.ends_as else e.state end,
			reason = case when e.state = 'queued' then n.why else e.reason end,
			finished = case when e.state = 'queued' then now() end,
			cut_as = case when e.state = 'building' then n.ends_as end,
			cut_reason = case when e.state = 'building' then n.why end
		from (select m.repository, m.ref, m.cuts, r.id,
				case when r.id is null then 'cancelled' else 'superseded' end as ends_as,
				case when r.id is null then 'the ref was deleted' else 'overtaken by run ' || r.id end as why
			from unnest($1::bigint[], $2::text[], $3::bool[]) as m(repository, ref, cuts)
			left join lateral (select max(id) as id from runs r
				where r.repository = m.repository and r.ref = m.ref and r.state = 'queued' and exists (
					select from refs where repository = m.repository and name = m.ref)) r on true) n
		where e.repository = n.repository and e.ref = n.ref and (n.id is null or e.id < n.id)
		and (e.state = 'queued' or e.state = 'building' and n.cuts)`,
		changed.repository, changed.ref, changed.cuts)
}

// columns are moves as arrays, for unnest.
type columns struct {
	repository []agent.RepositoryID
	ref        []string
	from, to   []*string
	cuts       []bool
}

func (c *columns) add(s spot, from, to layers.Commit, cuts bool) {
	c.cuts = append(c.cuts, cuts)
	c.repository = append(c.repository, s.repository)
	c.ref = append(c.ref, s.ref)
	c.from = append(c.from, orNull(from))
	c.to = append(c.to, orNull(to))
}
