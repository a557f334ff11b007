package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// Recorded is what a run found its commit's layers to be.
type Recorded struct {
	Commit layers.Commit
	Layers map[layers.Name]layers.Recorded
	// Began is when that run did, and read the salt.
	Began time.Time
}

// Records tell what earlier runs found.
type Records interface {
	// Recorded returns what the last run of a ref that made images found, of
	// the runs before one; nil if there is none.
	Recorded(ctx context.Context, repository RepositoryID, ref layers.Ref, before RunID) (*Recorded, error)
	// Outside returns the images from outside, as Dockerfiles name them, that a ref
	// stands on: those of its last run that made images, and of its last run, also
	// where that failed as one was not there.
	Outside(ctx context.Context, repository RepositoryID, ref layers.Ref) ([]string, error)
}

// explain gives a plan its reasons, against what was recorded of the ref, or of
// the trunk for a new one. They are for people: what cannot be read any more of
// the commit of then is left out; where telling takes too long, all is new.
func (c *Carrier) explain(ctx context.Context, source Source, run Run, trunk Trunk, plan *layers.Plan) error {
	ref, old := run.Move.Ref, run.Move.Old
	if old == "" && ref != trunk.Ref {
		ref, old = trunk.Ref, trunk.Commit
	}
	if old == "" {
		return c.Planner.Compare(ctx, nil, plan)
	}
	recorded, err := c.Records.Recorded(ctx, run.Move.Repository, ref, run.ID)
	if err != nil {
		return fmt.Errorf("explain the plan of %s: %w", plan.To, err)
	}
	was := Recorded{Commit: old}
	if recorded != nil {
		was = *recorded
		was.salt(c.Salt)
	}
	limited, cancel := c.limited(ctx)
	defer cancel()
	before := &layers.Plan{To: was.Commit}
	if !was.covers(plan) {
		planned, err := c.planBefore(limited, source, was.Commit, plan)
		switch {
		case err == nil:
			before = planned
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			before = nil
		}
	}
	err = c.Planner.CompareRecorded(limited, was.Layers, before, plan)
	if err != nil && slow(limited) {
		err = c.Planner.Compare(ctx, nil, plan)
	}
	return err
}

// salt fills in what was salt then.
func (r Recorded) salt(at func(time.Time) string) {
	if at == nil {
		return
	}
	for name, layer := range r.Layers {
		layer.Salt = at(r.Began)
		r.Layers[name] = layer
	}
}

// covers reports whether all layers of a plan are as they were.
func (r Recorded) covers(plan *layers.Plan) bool {
	for _, layer := range plan.Layers {
		if layer.Key != "" && r.Layers[layer.Name].Key != layer.Key {
			return false
		}
	}
	return true
}

// planBefore plans what was before a plan, to tell it against that.
func (c *Carrier) planBefore(ctx context.Context, source Source, commit layers.Commit, plan *layers.Plan) (*layers.Plan, error) {
	tree, cfg, err := c.config(ctx, source, commit)
	if err != nil {
		return nil, err
	}
	before, err := c.Planner.PlanBefore(ctx, tree, cfg, plan)
	if err != nil {
		return nil, err
	}
	before.Repo, before.To = source.URL(), commit
	return before, nil
}
