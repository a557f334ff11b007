package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const (
	// maxPaths is how many changed paths of a layer are kept.
	maxPaths = 1000
	// maxMessage is about how many bytes go to PostgreSQL in one piece.
	maxMessage = 16 << 20
)

// outcomeRow is a row of run_layers as JSON, which goes to PostgreSQL much
// faster in one piece than row by row.
type outcomeRow struct {
	Position         int                      `json:"position"`
	Layer            layers.Name              `json:"layer"`
	Kind             *string                  `json:"kind"`
	Parent           *layers.Name             `json:"parent"`
	State            string                   `json:"state"`
	Key              *string                  `json:"key"`
	PreviousKey      *string                  `json:"previous_key"`
	Outside          map[string]digest.Digest `json:"outside"`
	ImageKey         layers.Key               `json:"image_key"`
	ImageDigest      digest.Digest            `json:"image_digest"`
	Reasons          []layers.Reason          `json:"reasons"`
	ChangedPaths     []string                 `json:"changed_paths"`
	RebuildFrom      *layers.Instruction      `json:"rebuild_from,omitempty"`
	Notes            []string                 `json:"notes"`
	Seconds          float64                  `json:"seconds"`
	Steps            []pipeline.BuildStep     `json:"steps"`
	Log              string                   `json:"log"`
	Error            *string                  `json:"error"`
	ErrorFile        *string                  `json:"error_file"`
	ErrorLine        *int                     `json:"error_line"`
	ErrorInstruction *string                  `json:"error_instruction"`
	ErrorTail        []string                 `json:"error_tail,omitempty"`
}

func writeOutcomes(batch *pgx.Batch, run agent.RunID, v agent.Verdict) error {
	planned := map[layers.Name]*layers.PlannedLayer{}
	if v.Plan != nil {
		for _, l := range v.Plan.Layers {
			planned[l.Name] = l
		}
	}
	var rows []outcomeRow
	size := 0
	for i, out := range v.Outcomes {
		row := newOutcomeRow(i, out, planned[out.Layer])
		rows = append(rows, row)
		size += len(row.Log)
		if size < maxMessage && i < len(v.Outcomes)-1 {
			continue
		}
		text, err := document(rows)
		if err != nil {
			return err
		}
		batch.Queue(`insert into run_layers (run, position, layer, kind, parent, state, key, previous_key, outside, image,
				reasons, changed_paths, rebuild_from, notes, seconds, steps, log,
				error, error_file, error_line, error_instruction, error_tail)
			select $1, o.position, o.layer, o.kind, o.parent, o.state, o.key, o.previous_key, o.outside, i.id,
				o.reasons, o.changed_paths, o.rebuild_from, o.notes, o.seconds, o.steps, o.log,
				o.error, o.error_file, o.error_line, o.error_instruction, o.error_tail
			from json_to_recordset($2) as o(position int, layer text, kind text, parent text, state text,
				key text, previous_key text, outside jsonb, image_key text, image_digest text,
				reasons jsonb, changed_paths jsonb, rebuild_from jsonb, notes jsonb, seconds float8, steps jsonb, log text,
				error text, error_file text, error_line int, error_instruction text, error_tail jsonb)
			left join images i on i.key = o.image_key and i.digest = o.image_digest`, run, text)
		rows, size = nil, 0
	}
	return nil
}

// newOutcomeRow takes nil for a layer that no plan has.
func newOutcomeRow(position int, out pipeline.Outcome, planned *layers.PlannedLayer) outcomeRow {
	if planned == nil {
		planned = &layers.PlannedLayer{}
	}
	row := outcomeRow{
		Position: position, Layer: out.Layer, Kind: orNull(planned.Kind), Parent: planned.Parent, State: string(out.State),
		Key: orNull(planned.Key), PreviousKey: orNull(planned.PreviousKey), Outside: planned.Outside(),
		Reasons:      orEmpty(planned.Reasons),
		ChangedPaths: orEmpty(planned.ChangedPaths[:min(len(planned.ChangedPaths), maxPaths)]),
		RebuildFrom:  planned.RebuildFrom, Notes: orEmpty(planned.Notes),
		Seconds: max(0, out.Duration.Seconds()), Steps: orEmpty(out.Steps), Log: cut(out.Log, maxLog),
	}
	if row.Outside == nil {
		row.Outside = map[string]digest.Digest{}
	}
	if out.Image != nil {
		row.Key, row.ImageKey, row.ImageDigest = orNull(out.Image.Key), out.Image.Key, out.Image.Digest
	}
	if out.Error != nil {
		row.fail(out.Error)
	}
	if row.Error == nil && out.State == pipeline.Broken {
		row.Error = orNull("no reason was given")
	}
	return row
}

// fail writes why the layer has no image.
func (r *outcomeRow) fail(err error) {
	r.Error = orNull(cut(err.Error(), maxError))
	var build *pipeline.BuildError
	if !errors.As(err, &build) {
		return
	}
	r.ErrorFile = orNull(cut(build.File, maxShort))
	if build.Line > 0 {
		r.ErrorLine = &build.Line
	}
	r.ErrorInstruction = orNull(cut(build.Instruction, maxError))
	for _, line := range build.Tail {
		r.ErrorTail = append(r.ErrorTail, cut(line, maxShort))
	}
}

// orEmpty is for JSON lists, which are [] and never null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
