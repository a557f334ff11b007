package deploy

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Hold is what keeps a rollout from beginning.
type Hold struct {
	// Gate is the name of the gate, or one of those below.
	Gate string
	// Reason is why, in one line.
	Reason string
	// Until is when that may change by itself; zero if that is unknown.
	Until time.Time

	waits bool // for others
	firm  bool // nobody can have it passed
}

// What holds rollouts beside the gates.
const (
	// holdCanary has another environment get the release first.
	holdCanary = "canary"
	holdPull   = "pre-pull"
	// holdTurn waits for other rollouts.
	holdTurn   = "turn"
	holdPaused = "paused"
)

// OtherGates are the names that a [Hold] has beside those of gates.
var OtherGates = [...]string{holdCanary, holdPull, holdTurn, holdPaused}

// Passes reports whether it needs nobody to act.
func (h Hold) Passes() bool {
	return h.waits || !h.Until.IsZero()
}

// remedy is what ends it where that needs somebody.
func (h Hold) remedy(e Environment) string {
	if h.Gate == holdPaused {
		return fmt.Sprintf("let it go on: kubectl rollout resume -n %s %s/%s", e.Namespace, strings.ToLower(string(e.Kind)), e.Name)
	}
	if h.firm {
		return "mend that: nothing goes past it"
	}
	return "mend that, or go past it: lab-layers resume " + e.String()
}

// passable is the gate, if a person can have a rollout pass it.
func (h Hold) passable() string {
	if h.firm || h.Gate == holdTurn || h.Gate == holdPaused {
		return ""
	}
	return h.Gate
}

// holds are what was told of rollouts that are held, so that each is told once,
// however often its reason gets other words.
type holds struct {
	mu   sync.Mutex
	told map[Environment]heldBy
}

type heldBy struct {
	rollout int64
	gate    string
	passes  bool
}

// news notes what holds a rollout, and reports whether something else did before.
func (h *holds) news(r Rollout, by Hold) bool {
	now := heldBy{r.ID, by.Gate, by.Passes()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told[r.Environment] == now {
		return false
	}
	h.told[r.Environment] = now
	return true
}

// forget has it told anew.
func (h *holds) forget(e Environment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.told, e)
}
