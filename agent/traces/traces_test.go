package traces

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/pipeline"
)

// TestTraces holds that a run is one trace with its parts in it, whose times are
// those of what happened.
func TestTraces(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	second := 0
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	p := Progress(trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test"), func() time.Time { return at(second) })
	run := agent.Run{ID: 7, Started: start, Move: agent.Move{URL: "lab", Ref: "refs/heads/main", New: "abc"}}
	second = 2
	p.Plan(run, nil)
	p.Build(run, pipeline.Event{Layer: "base", Time: at(3)})
	p.Build(run, pipeline.Event{Layer: "unet", Time: at(4)})
	p.Build(run, pipeline.Event{Layer: "base", Time: at(5)})
	p.Build(run, pipeline.Event{Layer: "unet", Time: at(8)})
	second = 9
	p.End(run, agent.Verdict{State: agent.Failed, Reason: "unet: exit code 7", Outcomes: []pipeline.Outcome{
		{Layer: "base", State: pipeline.Made}, {Layer: "unet", State: pipeline.Broken, Error: errors.New("exit code 7")},
	}})
	want := map[string][2]int{"run": {0, 9}, "plan": {0, 2}, "build base": {3, 5}, "build unet": {4, 8}, "tag and record": {8, 9}}
	spans := recorder.Ended()
	root := spans[len(spans)-1]
	for _, s := range spans {
		times, ok := want[s.Name()]
		if !ok || !s.StartTime().Equal(at(times[0])) || !s.EndTime().Equal(at(times[1])) {
			t.Errorf("%s from %s to %s", s.Name(), s.StartTime(), s.EndTime())
		}
		delete(want, s.Name())
		if s != root && s.Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("%s is not in the run", s.Name())
		}
		fails := s == root || s.Name() == "build unet"
		if (s.Status().Code == codes.Error) != fails {
			t.Errorf("%s: %+v", s.Name(), s.Status())
		}
	}
	if len(want) > 0 || root.Parent().IsValid() || len(root.Attributes()) != 6 {
		t.Errorf("missing: %v; the root is %+v", want, root)
	}

	// One that came to no plan, and goes back to the queue.
	recorder.Reset()
	p.Again(agent.Run{ID: 8}, errors.New("no route"))
	p.Build(agent.Run{ID: 8}, pipeline.Event{Layer: "late", Time: start})
	if spans := recorder.Ended(); len(spans) != 1 || spans[0].Status().Description != "no route" {
		t.Errorf("%v", spans)
	}
}

// TestLostRuns holds that runs which never end here do not pile up.
func TestLostRuns(t *testing.T) {
	n := &traces{now: time.Now, runs: map[agent.RunID]*notes{}}
	for id := range agent.RunID(3 * maxRuns) {
		n.planned(agent.Run{ID: id})
	}
	if len(n.runs) > maxRuns {
		t.Errorf("%d runs are noted", len(n.runs))
	}
}
