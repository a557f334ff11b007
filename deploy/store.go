package deploy

import (
	"context"
	"errors"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// ErrMoved says that a rollout is not in the state that it was taken to be in:
// somebody else leads.
var ErrMoved = errors.New("the rollout has moved on: another agent deploys")

// Store keeps the records of rollouts. One process at a time writes them: the
// one that leads.
type Store interface {
	// Lead waits until no other process deploys, and does work. The work's
	// context ends when that can no longer be vouched for.
	Lead(ctx context.Context, work func(context.Context) error) error
	// ListenReleases gives a hint whenever there may be new releases or pins. It
	// ends with the context.
	ListenReleases(ctx context.Context) (<-chan struct{}, error)
	// Releases returns the newest release of each ref of a repository that is
	// among some or, with tags, is a Git tag. Images that the registry lost are
	// left out.
	Releases(ctx context.Context, url string, refs []layers.Ref, tags bool) ([]Release, error)
	// ReleasedRefs returns the refs of a repository that have a release, the newest
	// first, as far as there is use in naming them.
	ReleasedRefs(ctx context.Context, url string) ([]layers.Ref, error)
	// Pins returns all pins.
	Pins(ctx context.Context) ([]Pin, error)
	// Standings returns where the environments stood that are not gone.
	Standings(ctx context.Context) ([]Standing, error)
	// Resumed returns the environments that a person wants to go on.
	Resumed(ctx context.Context) ([]Environment, error)
	// Passed returns what gates a person had rollouts pass that have not ended.
	Passed(ctx context.Context) (map[int64][]Pass, error)
	// Rollouts returns the last rollout of each environment.
	Rollouts(ctx context.Context) ([]Rollout, error)
	// LastHealthy returns the newest rollout of a workload that ended healthy; nil if
	// there is none.
	LastHealthy(ctx context.Context, e Environment, uid string) (*Rollout, error)
	// Begin records a rollout, and that one which has not ended is superseded by
	// it. The environment's wish to be resumed is fulfilled.
	Begin(ctx context.Context, r Rollout) (Rollout, error)
	// Advance records that a rollout goes from the state it is in to another,
	// or has another reason, gate or remark. The error is ErrMoved if it is in another
	// state.
	Advance(ctx context.Context, r Rollout, to State, reason string) (Rollout, error)
	// Holdings returns the images that nodes were seen to have within some time, and
	// drops what is older.
	Holdings(ctx context.Context, within time.Duration) ([]Holding, error)
	// Saw records images that were seen on nodes, and others that are gone from them.
	Saw(ctx context.Context, seen, gone []Holding) error
	// Observe records where an environment stands.
	Observe(ctx context.Context, s Standing) error
	// Gone records that an environment is no more, and that its rollout ended.
	Gone(ctx context.Context, e Environment, reason string) error
}
