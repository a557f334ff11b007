package deploy

// Progress is told of rollouts once they are recorded so. It never steers, and
// returns at once; any of its functions may be nil. Several environments call it at
// once.
type Progress struct {
	// Held is called when something comes to hold a rollout that did not before.
	Held func(Rollout, Hold)
	// Began is called when a workload was given its images.
	Began func(Rollout)
	// Ended is called when a rollout has come to its final state.
	Ended func(Rollout)
}

func (p Progress) held(r Rollout, h Hold) {
	if p.Held != nil {
		p.Held(r, h)
	}
}

func (p Progress) began(r Rollout) {
	if p.Began != nil {
		p.Began(r)
	}
}

func (p Progress) ended(r Rollout) {
	if p.Ended != nil {
		p.Ended(r)
	}
}

// And tells another one too.
func (p Progress) And(other Progress) Progress {
	return Progress{
		Held:  func(r Rollout, h Hold) { p.held(r, h); other.held(r, h) },
		Began: func(r Rollout) { p.began(r); other.began(r) },
		Ended: func(r Rollout) { p.ended(r); other.ended(r) },
	}
}
