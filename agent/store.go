package agent

import (
	"context"
	"errors"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// ErrLost says that a claim on a run has lapsed, and that the run was claimed
// anew or has ended since.
var ErrLost = errors.New("the claim on the run was lost")

// Store keeps the records. Implementations are safe for use by several
// goroutines and several agents at once.
type Store interface {
	// Repository returns the id for a URL, making a row for a new one. The URL
	// carries no credentials.
	Repository(ctx context.Context, url string) (RepositoryID, error)
	// Refs returns where each ref of a repository was last seen, or only those of
	// some names: there may be many thousands.
	Refs(ctx context.Context, repository RepositoryID, names ...layers.Ref) (map[layers.Ref]layers.Commit, error)
	// Record writes moves, their runs and the refs' new places in one
	// transaction, and returns the runs. A move whose Old is not where the ref
	// was last seen is left out: another agent was faster. A deleted ref
	// and a quiet move give no run. Runs of the refs that still wait are
	// superseded, or cancelled if the ref is gone; so is one at work, by its
	// owner, where the move cuts it off.
	Record(ctx context.Context, moves []Move) ([]Run, error)
	// Again queues a run for the commit where a ref is, as if it had just moved
	// there. It returns nil if the ref is elsewhere meanwhile, or has a run that
	// has not ended.
	Again(ctx context.Context, move Move) (*Run, error)
	// Began returns when the last attempt at the newest run of a ref began: zero if
	// there is no run, and now if it still waits.
	Began(ctx context.Context, repository RepositoryID, ref layers.Ref) (time.Time, error)
	// Snapshot returns all images of a commit, nil if there are none.
	Snapshot(ctx context.Context, repository RepositoryID, commit layers.Commit) (*Snapshot, error)
	// Tags returns the tags that the refs of a repository gave, but those that
	// have expired.
	Tags(ctx context.Context, repository RepositoryID) (map[layers.Ref][]Tag, error)
	// Claim takes a queued run of some repositories, given by their URLs, or one
	// whose claim has lapsed, and makes it Building until the lease ends. It is
	// fair between repositories and takes main first. It returns nil if there is
	// none. No URLs mean all repositories. Who has let a claim lapse, and whose
	// run was claimed anew since, by whomever, has lost it: all that follows says
	// so to the run of an earlier claim.
	Claim(ctx context.Context, owner string, lease time.Duration, urls ...string) (*Run, error)
	// Listen gives a hint whenever something may have changed: there are new
	// runs, or one is to end. It ends with the context.
	Listen(ctx context.Context) (<-chan struct{}, error)
	// Extend prolongs a claim. The error is ErrLost if it was lost, and a CutOff
	// if the run is to end.
	Extend(ctx context.Context, run Run, lease time.Duration) error
	// Release gives a run back to the queue. One that is to end has ended then.
	Release(ctx context.Context, run Run, delay Delay) error
	// Take has a run be the one that builds a key, unless another one is; false if
	// so. It lasts until Leave, and no longer than the run's claim.
	Take(ctx context.Context, run Run, key layers.Key) (ours bool, err error)
	// Leave lets others build it.
	Leave(ctx context.Context, run Run, key layers.Key) error
	// Finish writes a verdict in one transaction. ErrLost says that the claim
	// was lost; nothing is written then.
	Finish(ctx context.Context, run Run, verdict Verdict) error
}

// Delay says why a run goes back to the queue, to be claimed after a while.
type Delay struct {
	For    time.Duration
	Reason string
	// Doubtful counts the attempt among those that ended at an instruction that
	// may not be to blame.
	Doubtful bool
}
