package deploy

import (
	"slices"
	"sync"
)

// turns bounds how many rollouts go on at once. Those that wait come in the
// order in which they asked.
type turns struct {
	limit int // 0 is none

	mu      sync.Mutex
	active  map[Environment]bool
	waiting []Environment
}

func newTurns(limit int) *turns { return &turns{limit: limit, active: map[Environment]bool{}} }

// take reports whether it is an environment's turn. One that has its turn keeps
// it, and one that has to wait is told by done of another.
func (t *turns) take(e Environment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limit == 0 || t.active[e] {
		return true
	}
	place := slices.Index(t.waiting, e)
	if place < 0 {
		place = len(t.waiting)
		t.waiting = append(t.waiting, e)
	}
	if place >= t.limit-len(t.active) {
		return false
	}
	t.waiting = slices.Delete(t.waiting, place, place+1)
	t.active[e] = true
	return true
}

// has gives an environment that rolls already its turn.
func (t *turns) has(e Environment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active[e] = true
}

// rolls reports whether an environment has its turn.
func (t *turns) rolls(e Environment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.active[e]
}

// done ends an environment's turn, or its wait for one, and returns those whose
// turn it may be now.
func (t *turns) done(e Environment) []Environment {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.active, e)
	if place := slices.Index(t.waiting, e); place >= 0 {
		t.waiting = slices.Delete(t.waiting, place, place+1)
	}
	return slices.Clone(t.waiting[:max(0, min(len(t.waiting), t.limit-len(t.active)))])
}
