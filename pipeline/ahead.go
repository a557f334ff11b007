package pipeline

import (
	"context"

	"github.com/lab-layers/lab-layers/layers"
)

// TagAhead begins to tag the images that a plan reuses, while the others are
// built. It is for tags that name one commit and so are nobody's yet; tags that
// move, move together in the end. The returned function waits for it and says
// what [Pipeline.Tag] need not do again: nothing after an error, so that it
// finds the error itself.
//
// While there is something to build there is time to tag, and two at a time
// leave the processors to the builds.
func (p *Pipeline) TagAhead(ctx context.Context, plan *layers.Plan, have map[layers.Key]Image, set layers.TagSet) (wait func() []Tagged) {
	var reused Result
	sure := settled(plan)
	limit := tagLimit
	for _, layer := range plan.Layers {
		if layer.Step == layers.Build {
			limit = 2
		}
		if image, ok := have[layer.Key]; ok && sure[layer.Name] {
			reused.Outcomes = append(reused.Outcomes, Outcome{Layer: layer.Name, State: Reused, Image: &image})
		}
	}
	done := make(chan []Tagged, 1)
	go func() {
		tagged, err := p.tag(ctx, reused, set, nil, limit)
		if err != nil {
			tagged = nil
		}
		done <- tagged
	}()
	return func() []Tagged { return <-done }
}
