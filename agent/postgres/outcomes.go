package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// maxPaths is how many changed paths of a layer are kept.
const maxPaths = 1000

func writeLayers(batch *pgx.Batch, v agent.Verdict) error {
	for i, out := range v.Outcomes {
		row := layerRow{Outcome: out, position: i}
		if v.Plan != nil {
			row.plan = v.Plan.Layer(out.Layer)
		}
		args, err := row.columns()
		if err != nil {
			return fmt.Errorf("layer %s: %w", out.Layer, err)
		}
		batch.Queue(`insert into run_layers (run, layer, position, kind, parent, state, key, previous_key, image,
			reasons, changed_paths, rebuild_from, notes, seconds, steps, log,
			error, error_file, error_line, error_instruction, error_tail)
			values ($1, $2, $3, $4, $5, $6, $7, $8,
				(select id from images where key = $9 and digest = $10),
				$11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
			append([]any{v.Run}, args...)...)
	}
	return nil
}

// layerRow is one row of run_layers.
type layerRow struct {
	pipeline.Outcome
	plan     *layers.PlannedLayer // nil if the run had no plan
	position int
}

// columns returns the row's values from layer to error_tail.
func (r layerRow) columns() ([]any, error) {
	plan := r.plan
	if plan == nil {
		plan = &layers.PlannedLayer{}
	}
	var parent *string
	if plan.Parent != nil {
		parent = orNull(*plan.Parent)
	}
	key := plan.Key
	var imageKey, imageDigest *string
	if r.Image != nil {
		key, imageKey, imageDigest = r.Image.Key, orNull(r.Image.Key), orNull(r.Image.Digest)
	}
	reasons, err := document(orEmpty(plan.Reasons))
	if err != nil {
		return nil, err
	}
	paths, err := document(orEmpty(plan.ChangedPaths[:min(len(plan.ChangedPaths), maxPaths)]))
	if err != nil {
		return nil, err
	}
	var from []byte
	if plan.RebuildFrom != nil {
		if from, err = document(plan.RebuildFrom); err != nil {
			return nil, err
		}
	}
	notes, err := document(orEmpty(plan.Notes))
	if err != nil {
		return nil, err
	}
	steps, err := document(orEmpty(r.Steps))
	if err != nil {
		return nil, err
	}
	failure, err := r.failure()
	if err != nil {
		return nil, err
	}
	return append([]any{
		r.Layer, r.position, orNull(plan.Kind), parent, r.State, orNull(key), orNull(plan.PreviousKey), imageKey, imageDigest,
		reasons, paths, from, notes, max(0, r.Duration.Seconds()), steps, cut(r.Log, maxLog),
	}, failure...), nil
}

// failure returns error, error_file, error_line, error_instruction and
// error_tail.
func (r layerRow) failure() ([]any, error) {
	if r.Error == nil {
		if r.State == pipeline.Broken {
			r.Error = errors.New("no reason was given")
		} else {
			return make([]any, 5), nil
		}
	}
	text := cut(r.Error.Error(), maxError)
	var build *pipeline.BuildError
	if !errors.As(r.Error, &build) {
		return []any{text, nil, nil, nil, nil}, nil
	}
	var line *int
	if build.Line > 0 {
		line = &build.Line
	}
	var lines []string
	for _, l := range build.Tail {
		lines = append(lines, cut(l, maxShort))
	}
	tail, err := document(orEmpty(lines))
	return []any{text, orNull(cut(build.File, maxShort)), line, orNull(cut(build.Instruction, maxError)), tail}, err
}

// orEmpty is for JSON lists, which are [] and never null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
