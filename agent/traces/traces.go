package traces

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// maxRuns bounds the runs that are noted. One that another agent takes over
// never ends here.
const maxRuns = 1000

// Progress makes traces by a tracer. now is the clock.
func Progress(tracer trace.Tracer, now func() time.Time) agent.Progress {
	t := &traces{tracer: tracer, now: now, runs: map[agent.RunID]*notes{}}
	return agent.Progress{
		Plan: func(run agent.Run, _ *layers.Plan) { t.planned(run) },
		Build: func(run agent.Run, e pipeline.Event) {
			t.built(run.ID, e.Layer, e.Time)
		},
		End: func(run agent.Run, v agent.Verdict) {
			why := ""
			if v.State != agent.Succeeded {
				why = string(v.State) + ": " + v.Reason
			}
			t.ended(run, v.State, why, v.Outcomes)
		},
		Again: func(run agent.Run, err error) { t.ended(run, agent.Queued, err.Error(), nil) },
	}
}

type traces struct {
	tracer trace.Tracer
	now    func() time.Time
	mu     sync.Mutex
	runs   map[agent.RunID]*notes
}

// notes are the times of a run that goes on.
type notes struct {
	planned time.Time
	builds  map[layers.Name]*span
}

type span struct{ from, to time.Time }

func (t *traces) planned(run agent.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.runs) >= maxRuns {
		clear(t.runs)
	}
	t.runs[run.ID] = &notes{planned: t.now(), builds: map[layers.Name]*span{}}
}

func (t *traces) built(run agent.RunID, layer layers.Name, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.runs[run]
	if n == nil || at.IsZero() {
		return
	}
	s := n.builds[layer]
	if s == nil {
		s = &span{at, at}
		n.builds[layer] = s
	}
	if at.Before(s.from) {
		s.from = at
	}
	if at.After(s.to) {
		s.to = at
	}
}

// ended makes the trace of a run; why is empty if it succeeded.
func (t *traces) ended(run agent.Run, state agent.State, why string, outcomes []pipeline.Outcome) {
	t.mu.Lock()
	n := t.runs[run.ID]
	delete(t.runs, run.ID)
	t.mu.Unlock()
	end := t.now()
	start := run.Started
	if start.IsZero() || start.After(end) { // the records have a clock of their own
		start = end
	}
	ctx, root := t.tracer.Start(context.Background(), "run", trace.WithNewRoot(), trace.WithTimestamp(start), trace.WithAttributes(
		attribute.Int64("lab_layers.run", int64(run.ID)), attribute.Int("lab_layers.attempt", run.Attempt),
		attribute.String("lab_layers.repository", run.Move.URL), attribute.String("lab_layers.ref", string(run.Move.Ref)),
		attribute.String("lab_layers.commit", string(run.Move.New)), attribute.String("lab_layers.state", string(state)),
	))
	if why != "" {
		root.SetStatus(codes.Error, why)
	}
	if n != nil {
		t.parts(ctx, n, start, end, outcomes)
	}
	root.End(trace.WithTimestamp(end))
}

// parts makes the spans within a run.
func (t *traces) parts(ctx context.Context, n *notes, start, end time.Time, outcomes []pipeline.Outcome) {
	if n.planned.Before(start) {
		n.planned = start
	}
	t.part(ctx, "plan", span{start, n.planned})
	last := n.planned
	came := map[layers.Name]pipeline.Outcome{}
	for _, out := range outcomes {
		came[out.Layer] = out
	}
	for layer, s := range n.builds {
		out := came[layer]
		made := t.begin(ctx, "build "+string(layer), s.from,
			attribute.String("lab_layers.layer", string(layer)), attribute.String("lab_layers.outcome", string(out.State)))
		if out.Error != nil {
			made.SetStatus(codes.Error, out.Error.Error())
		}
		made.End(trace.WithTimestamp(s.to))
		if s.to.After(last) {
			last = s.to
		}
	}
	if end.After(last) {
		t.part(ctx, "tag and record", span{last, end})
	}
}

func (t *traces) part(ctx context.Context, name string, s span) {
	t.begin(ctx, name, s.from).End(trace.WithTimestamp(s.to))
}

func (t *traces) begin(ctx context.Context, name string, at time.Time, attributes ...attribute.KeyValue) trace.Span {
	_, s := t.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithAttributes(attributes...))
	return s
}
