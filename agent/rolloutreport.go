package agent

import (
	"context"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// RolloutReport is what there is to tell of a rollout: that its workload was given
// images, or what became of it.
type RolloutReport struct {
	ID int64 `json:"id"`
	// Attempt counts how often it was tried to tell a target of this, this time
	// included.
	Attempt int `json:"-"`
	// Environment is NAMESPACE/KIND/NAME.
	Environment string        `json:"environment"`
	Repository  string        `json:"repository"`
	Ref         layers.Ref    `json:"ref,omitempty"`
	Commit      layers.Commit `json:"commit,omitempty"`
	// Run that made the images; 0 where a person pinned them.
	Run    RunID `json:"run,omitempty"`
	Pinned bool  `json:"pinned"`
	// State is rolling until it has ended.
	State string `json:"state"`
	Ended bool   `json:"-"`
	// Reason is why it ended so, and Remark what gates had to say as they let it
	// begin; each in one line.
	Reason   string        `json:"reason,omitempty"`
	Remark   string        `json:"remark,omitempty"`
	Images   []RolledImage `json:"images"`
	Queued   time.Time     `json:"queued"`
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished,omitzero"`
}

// RolledImage is one container's part of a rollout.
type RolledImage struct {
	Container string      `json:"container"`
	Layer     layers.Name `json:"layer"`
	// From and To are references as the workload had and has them. A digest is
	// empty where the reference is to none.
	From       string `json:"from"`
	To         string `json:"to"`
	FromDigest string `json:"from_digest,omitempty"`
	ToDigest   string `json:"to_digest,omitempty"`
}

// RolloutTarget is a [Target] that is told of rollouts, too.
type RolloutTarget interface {
	// TellRollout tells of a rollout. Errors are those of [Target].
	TellRollout(context.Context, RolloutReport) error
}

// RolloutTellings are the records of which target was told what of rollouts.
type RolloutTellings interface {
	// UntoldRollout takes, until the lease ends, a rollout to images of some
	// repositories, given by their URLs, that ended within the last day, or has begun
	// and not ended, and of which a target was not told that. It returns nil if there
	// is none. One that something newer took the place of before it began is never
	// told. Of one environment one at a time is taken, and the oldest first.
	UntoldRollout(ctx context.Context, target string, lease time.Duration, urls ...string) (*RolloutReport, error)
	// ToldRollout records that a target was told that a rollout is in a state.
	ToldRollout(ctx context.Context, target string, rollout int64, state string) error
	// UnheardRollout gives back a rollout of which a target could not be told, not to
	// be taken before a while.
	UnheardRollout(ctx context.Context, target string, rollout int64, after time.Duration) error
}
