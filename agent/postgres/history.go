package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// HistoryFilter selects what of the history is wanted; empty fields select
// everything.
type HistoryFilter struct {
	Layer layers.Name
	// Ref is a full name, or that of a branch or tag.
	Ref layers.Ref
	// Repository is its URL.
	Repository string
	// Limit is the most entries to return, 0 is 100 and 10,000 the most.
	Limit int
}

// History returns what was built when, from what, and why: the newest run
// first, its layers in the plan's order. Layers that a commit does not have are
// left out, and so are those that a run which looked after a commit again found
// as they were.
func (s *Store) History(ctx context.Context, f HistoryFilter) ([]agent.HistoryEntry, error) {
	conditions := []string{"l.state <> 'absent'", "not (m.again and l.state = 'reused')"}
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if f.Layer != "" {
		add("l.layer = $%d", f.Layer)
	}
	if f.Ref != "" {
		name := encodeRef(f.Ref)
		add("r.ref = any($%d::text[])", []string{name, "refs/heads/" + name, "refs/tags/" + name})
	}
	if f.Repository != "" {
		add("g.url = $%d", f.Repository)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	args = append(args, min(limit, 10_000))
	entries, err := s.history(ctx, strings.Join(conditions, " and ")+fmt.Sprintf(" order by l.run desc, l.position limit $%d", len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return entries, nil
}

// Layers returns what became of each layer in a run, in the plan's order.
func (s *Store) Layers(ctx context.Context, run agent.RunID) ([]agent.HistoryEntry, error) {
	entries, err := s.history(ctx, "l.run = $1 order by l.position", run)
	if err != nil {
		return nil, fmt.Errorf("layers of run %d: %w", run, err)
	}
	return entries, nil
}

// Log returns the output of a layer's build; empty if there was none.
func (s *Store) Log(ctx context.Context, run agent.RunID, layer layers.Name) (string, error) {
	logs, err := read(ctx, s, pgx.RowTo[string], "select log from run_layers where run = $1 and layer = $2", run, layer)
	if err != nil {
		return "", fmt.Errorf("log of %s in run %d: %w", layer, run, err)
	}
	return strings.Join(logs, ""), nil
}

// history reads layers l of runs r, moves m and repositories g.
func (s *Store) history(ctx context.Context, where string, args ...any) ([]agent.HistoryEntry, error) {
	return read(ctx, s, scanHistory, `
		select l.run, g.url, m.ref, coalesce(m.new_commit, ''), coalesce(m.old_commit, ''), r.finished,
			l.layer, coalesce(l.kind, ''), l.state, l.reasons, l.changed_paths, l.rebuild_from, l.notes, l.seconds,
			coalesce(l.key, ''), coalesce(l.previous_key, ''),
			coalesce(i.repository, ''), coalesce(i.digest, ''), coalesce(i.base_image_ref, ''), coalesce(i.base_image_digest, ''),
			l.error, coalesce(l.error_file, ''), coalesce(l.error_line, 0), coalesce(l.error_instruction, ''), l.error_tail
		from run_layers l join runs r on r.id = l.run join moves m on m.id = r.move join repositories g on g.id = m.repository
		left join images i on i.id = l.image
		where `+where, args...)
}

func scanHistory(row pgx.CollectableRow) (e agent.HistoryEntry, err error) {
	var ref, repository string
	var base agent.Base
	var failed *string
	var failure agent.Failure
	err = row.Scan(&e.Run, &e.Repository, &ref, &e.Commit, &e.PreviousCommit, &e.Time,
		&e.Layer, &e.Kind, &e.State, &e.Reasons, &e.ChangedPaths, &e.RebuildFrom, &e.Notes, &e.Seconds,
		&e.Key, &e.PreviousKey,
		&repository, &e.Digest, &base.Name, &base.Digest,
		&failed, &failure.File, &failure.Line, &failure.Instruction, &failure.Tail)
	if err != nil {
		return e, err
	}
	e.Ref = decodeRef(ref)
	if e.Digest != "" {
		e.Image = repository + "@" + string(e.Digest)
	}
	if base != (agent.Base{}) {
		e.Base = &base
	}
	if failed != nil {
		failure.Text = *failed
		e.Error = &failure
	}
	return e, nil
}
