package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

// soakRun is a run as it is recorded.
type soakRun struct {
	ID               int64
	URL, Ref         string
	Old, New         *string
	State, Reason    string
	Attempt          int
	Again            bool
	Started, Ended   *time.Time
	Snapshot, Newest bool
}

// database opens the agent's own.
func (s *soak) database() (*pgx.Conn, error) {
	found, err := readStarted(s.data)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(s.Context(), cmp.Or(s.program.database, found.DatabaseURL))
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(s.Context(), "set search_path = lab_layers")
	return conn, err
}

func rows[T any](s *soak, conn *pgx.Conn, to pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	answer, err := conn.Query(s.Context(), sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(answer, to)
}

// settleTime is how long the agent may take to work off what is left.
const settleTime = 15 * time.Minute

// settle waits until the agent has seen all refs where they are, and nothing is
// left to do.
func (s *soak) settle() error {
	late := time.Now().Add(settleTime)
	for {
		why, err := s.unsettled()
		if err != nil {
			why = err.Error()
		}
		if why == "" {
			return nil
		}
		if time.Now().After(late) {
			return errors.New("the agent has not come to rest: " + why)
		}
		time.Sleep(time.Duration(200+len(s.remotes[0].refs)/20) * time.Millisecond) // not to load the database with 50,000
	}
}

func (s *soak) unsettled() (string, error) {
	conn, err := s.database()
	if err != nil {
		return "", err
	}
	defer conn.Close(s.Context())
	for _, r := range s.remotes {
		seen, err := s.seen(conn, r)
		if err != nil {
			return "", err
		}
		if !maps.Equal(seen, r.refs) {
			return fmt.Sprintf("the refs of %s are seen as %v, and are %v", r.name, seen, r.refs), nil
		}
	}
	open, err := rows(s, conn, pgx.RowTo[string], "select format('run %s of %s is %s: attempt %s, %s', id, ref, state, attempt, reason) from runs where finished is null")
	return strings.Join(open, "; "), err
}

// seen are the refs of a repository in the records.
func (s *soak) seen(conn *pgx.Conn, r *soakRemote) (map[string]string, error) {
	answer, err := conn.Query(s.Context(), "select name, commit from refs join repositories g on g.id = repository where url = $1", r.url)
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	var name, commit string
	_, err = pgx.ForEachRow(answer, []any{&name, &commit}, func() error {
		refs[name] = commit
		return nil
	})
	return refs, err
}

// judge checks the records against what was done.
func (s *soak) judge() {
	s.Helper()
	conn, err := s.database()
	s.check(err)
	defer conn.Close(s.Context())
	runs, err := rows(s, conn, pgx.RowToStructByPos[soakRun], `select r.id, g.url, r.ref, m.old_commit, m.new_commit, r.state, r.reason, r.attempt, m.again,
		r.started, r.finished, r.snapshot is not null, r.id = max(r.id) over (partition by r.repository, r.ref)
		from runs r join moves m on m.id = r.move join repositories g on g.id = r.repository order by r.id`)
	s.check(err)
	for _, run := range runs {
		s.report.Runs[run.State]++
		s.report.Attempts += run.Attempt
		if run.Again {
			s.Errorf("run %d of %s was made anew: the registry is said to have lost something", run.ID, run.Ref)
		}
		if run.State == "superseded" || run.State == "cancelled" {
			s.breaks = append(s.breaks, soakBreak{*run.Ended, "a run was " + run.State})
		}
	}
	for _, r := range s.remotes {
		s.judgeMoves(conn, r)
		s.judgeRuns(r, runs)
		s.judgeSnapshots(conn, r)
	}
	s.judgeSteps(conn)
}

// judgeMoves checks that the moves of each ref join up, to where the ref is, by
// places where it was, in the order in which it was there.
func (s *soak) judgeMoves(conn *pgx.Conn, r *soakRemote) {
	s.Helper()
	type move struct {
		Ref      string
		Old, New *string
	}
	moves, err := rows(s, conn, pgx.RowToStructByPos[move],
		"select ref, old_commit, new_commit from moves m join repositories g on g.id = m.repository where url = $1 and not again order by m.id", r.url)
	s.check(err)
	places := map[string][]string{} // of each ref, in order; those that are passed are taken away
	for _, p := range r.pushed {
		places[p.Ref] = append(places[p.Ref], p.Commit)
	}
	at := map[string]string{}
	for _, m := range moves {
		if at[m.Ref] != orNone(m.Old) {
			s.Errorf("%s: %s moved from %s, and was at %s", r.name, m.Ref, orNone(m.Old), at[m.Ref])
		}
		at[m.Ref] = orNone(m.New)
		i := slices.Index(places[m.Ref], at[m.Ref])
		if i < 0 {
			s.Errorf("%s: %s moved to %s, where it was not any more", r.name, m.Ref, at[m.Ref])
			continue
		}
		places[m.Ref] = places[m.Ref][i+1:]
	}
}

func orNone(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// judgeRuns checks that each run ended in the state that is true of it.
func (s *soak) judgeRuns(r *soakRemote, runs []soakRun) {
	s.Helper()
	bad := map[string]bool{}
	for _, run := range runs {
		if run.URL != r.url {
			continue
		}
		commit := *run.New
		if _, known := bad[commit]; !known {
			_, err := r.git("grep", "-q", "^broken", commit)
			bad[commit] = err == nil
		}
		ruled := !strings.HasPrefix(run.Ref, "refs/heads/scratch/")
		here := r.refs[run.Ref] == commit
		wrong := ""
		switch agent.State(run.State) {
		case agent.Succeeded:
			if bad[commit] || !ruled || !run.Snapshot {
				wrong = "it cannot have succeeded"
			}
		case agent.Failed:
			if !bad[commit] {
				wrong = "there is nothing wrong with the commit"
			}
		case agent.Superseded:
			if run.Newest {
				wrong = "no run of the ref came after it"
			}
		case agent.Cancelled:
			if ruled && run.Newest && here {
				wrong = "the ref is there"
			}
		default:
			wrong = "it has not ended"
		}
		if wrong != "" {
			s.Errorf("%s: run %d of %s at %s is %s, attempt %d: %s; but %s", r.name, run.ID, run.Ref, commit, run.State, run.Attempt, run.Reason, wrong)
		}
	}
	for ref, commit := range r.refs {
		if !slices.ContainsFunc(runs, func(run soakRun) bool {
			return run.URL == r.url && run.Ref == ref && run.Newest && *run.New == commit
		}) {
			s.Errorf("%s: the last run of %s is not at %s", r.name, ref, commit)
		}
	}
}

// judgeSnapshots checks what is recorded of each ref against a fresh plan, and
// that the registry has it under the ref's tags.
func (s *soak) judgeSnapshots(conn *pgx.Conn, r *soakRemote) {
	s.Helper()
	found, err := readStarted(s.data)
	s.check(err)
	mirror, err := git.Open(s.Context(), filepath.Join(filepath.Dir(s.remote), "judge"), git.Remote{URL: r.bare}, git.Limits{})
	s.check(err)
	type image struct{ Key, Digest string }
	for ref, commit := range r.refs {
		if _, bad := r.git("grep", "-q", "^broken", commit); bad == nil || strings.HasPrefix(ref, "refs/heads/scratch/") {
			continue
		}
		s.check(mirror.Fetch(s.Context(), layers.Ref(ref), layers.Commit(commit)))
		plan, cfg, err := s.agent.Carrier.Plan(s.Context(), mirror, layers.Commit(commit))
		s.check(err)
		tags, _ := cfg.TagsFor(layers.Ref(ref), layers.Commit(commit))
		for _, layer := range plan.Layers {
			images, err := rows(s, conn, pgx.RowToStructByPos[image], `select i.key, i.digest from snapshots t
				join repositories g on g.id = t.repository join snapshot_images x on x.snapshot = t.id join images i on i.id = x.image
				where g.url = $1 and t.commit = $2 and x.layer = $3 and t.complete and i.lost_at is null`, r.url, commit, string(layer.Name))
			s.check(err)
			if len(images) != 1 || images[0].Key != string(layer.Key) {
				s.Errorf("%s: %s at %s has %v as %s, and the plan says %s", r.name, ref, commit, images, layer.Name, layer.Key)
				continue
			}
			for _, tag := range append(slices.Clone(tags.Names), images[0].Digest) {
				d, _, err := s.agent.Carrier.Pipeline.Registry.Digest(s.Context(), found.Registry+"/"+r.name+"/"+string(layer.Name), tag)
				s.check(err)
				if string(d) != images[0].Digest {
					s.Errorf("%s: %s:%s is %q in the registry, and %s in the records", r.name, layer.Name, tag, d, images[0].Digest)
				}
			}
		}
	}
}

// judgeSteps checks that no key was built twice, and that no step ran twice but
// for those that something may have broken off.
func (s *soak) judgeSteps(conn *pgx.Conn) {
	s.Helper()
	type built struct {
		Key   string
		Times int
	}
	keys, err := rows(s, conn, pgx.RowToStructByPos[built], "select key, count(*) from run_layers where state = 'built' group by key")
	s.check(err)
	s.report.Built = len(keys)
	for _, k := range keys {
		if k.Times > 1 {
			s.Errorf("%s was built %d times", k.Key, k.Times)
		}
	}
	for step, times := range s.steps.ran {
		s.report.Steps++
		for i, at := range times[1:] {
			s.report.Again++
			if !slices.ContainsFunc(s.breaks, func(b soakBreak) bool {
				return b.at.After(times[i].Add(-time.Second)) && b.at.Before(at.Add(time.Second))
			}) {
				s.Errorf("%s ran at %s and again at %s, and nothing was broken off between", step, times[i].Format(time.TimeOnly), at.Format(time.TimeOnly))
			}
		}
	}
}

// end stops the agents and checks that nothing of them is left.
func (s *soak) end() {
	s.Helper()
	for _, agent := range s.agents() {
		a := &process{program: agent.program, cmd: agent.run.cmd}
		family := a.family()
		s.check(agent.stop(syscall.SIGTERM))
		a.gone(family)
		s.leftovers(agent.data)
	}
	if s.parts != nil {
		s.parts.stop()
		s.leftovers(s.parts.dir)
	}
}
