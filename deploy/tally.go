package deploy

import "time"

// Tally is where all environments stand together.
type Tally struct {
	// Environments by state; a state that none is in is left out.
	Environments map[State]int
	// Unavailable is how many lack pods, in whatever state.
	Unavailable int
	// Pinned is how many a person keeps at images.
	Pinned int
	// Oldest is how long ago the oldest rollout was decided on that is in a state and
	// has not ended.
	Oldest map[State]time.Duration
}

// RolloutStates are all states of rollouts.
var RolloutStates = [...]State{Pending, Held, Rolling, RollingBack, Healthy, Failed, RolledBack, Superseded}

// EnvironmentStates are all states of environments.
var EnvironmentStates = [...]State{
	Waiting, Pending, Held, Rolling, RollingBack, Healthy, Degraded, Failed, RolledBack, Superseded, Drifted, Faulty,
}
