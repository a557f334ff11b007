package agent

import (
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Progress is told what happens while it happens. It never steers; any of its
// functions may be nil. Runs that go on side by side call it at once.
type Progress struct {
	// Look is called after each look at a repository, with its URL and what
	// went wrong.
	Look func(url string, err error)
	// Plan is called once, when the steps are decided.
	Plan func(Run, *layers.Plan)
	// Build is called for each event of a build.
	Build func(Run, pipeline.Event)
	// End is called when the verdict is recorded.
	End func(Run, Verdict)
	// Again is called when a run ends here and goes on elsewhere: it goes back to
	// the queue, or another agent has it. It is told why.
	Again func(Run, error)
}

func (p Progress) look(url string, err error) {
	if p.Look != nil {
		p.Look(url, err)
	}
}

func (p Progress) plan(run Run, plan *layers.Plan) {
	if p.Plan != nil {
		p.Plan(run, plan)
	}
}

func (p Progress) build(run Run, event pipeline.Event) {
	if p.Build != nil {
		p.Build(run, event)
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

// And tells another one too.
func (p Progress) And(other Progress) Progress {
	return Progress{
		Look:  func(url string, err error) { p.look(url, err); other.look(url, err) },
		Plan:  func(run Run, plan *layers.Plan) { p.plan(run, plan); other.plan(run, plan) },
		Build: func(run Run, e pipeline.Event) { p.build(run, e); other.build(run, e) },
		End:   func(run Run, v Verdict) { p.end(run, v); other.end(run, v) },
		Again: func(run Run, why error) { p.again(run, why); other.again(run, why) },
	}
}
