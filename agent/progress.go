package agent

import (
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Progress is told what happens in runs while it happens. It never steers; any
// of its functions may be nil. Runs that go on side by side call it at once.
type Progress struct {
	// Plan is called once, when the steps are decided.
	Plan func(Run, *layers.Plan)
	// Build is called for each event of a build.
	Build func(pipeline.Event)
	// End is called when the verdict is recorded.
	End func(Run, Verdict)
	// Again is called when a run goes back to the queue, and told why.
	Again func(Run, error)
}

func (p Progress) plan(run Run, plan *layers.Plan) {
	if p.Plan != nil {
		p.Plan(run, plan)
	}
}

func (p Progress) end(run Run, verdict Verdict) {
	if p.End != nil {
		p.End(run, verdict)
	}
}

func (p Progress) again(run Run, why error) {
	if p.Again != nil {
		p.Again(run, why)
	}
}
