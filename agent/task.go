package agent

import (
	"context"

	"github.com/lab-layers/lab-layers/layers"
)

// Task is a run with what it takes to carry it out.
type Task struct {
	Run    Run
	Source Source
	// Trunk of the repository, as [FindTrunk] finds it.
	Trunk Trunk
	// Hold makes sure, before tags are moved, that the run is still its owner's.
	// Nil is for a run that nobody else could have.
	Hold func(context.Context) error
	// Turn keeps other agents from building what the run builds; see
	// [pipeline.Pipeline.Turn].
	Turn     func(context.Context, layers.Key) (end func(), err error)
	Progress Progress
}

func (t Task) hold(ctx context.Context) error {
	if t.Hold == nil {
		return nil
	}
	return t.Hold(ctx)
}
