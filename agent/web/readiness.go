package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	checkTime = 2 * time.Second
	checkAge  = time.Second
)

// Check asks a part for a sign of life.
type Check func(context.Context) error

// Checks are asked whether parts answer, by their names.
type Checks struct {
	// Needed are parts without which the process is not ready.
	Needed map[string]Check
	// Lesser are parts without which it works all the same, with less to do. They
	// answer at once.
	Lesser map[string]Check
}

// readiness tells whether the process takes up work and the parts that it needs
// answer. It asks each at most once a second, however often it is asked itself.
type readiness struct {
	checks Checks
	// name is what the process itself is called among the parts.
	name string
	// stopping is closed when the agent takes up nothing new; it may be nil.
	stopping <-chan struct{}
	// mayRead says who is told what is wrong.
	mayRead func(*http.Request) bool

	mu    sync.Mutex
	asked time.Time
	parts map[string]error
}

func newReadiness(checks Checks, name string, stopping <-chan struct{}, mayRead func(*http.Request) bool) *readiness {
	return &readiness{checks: checks, name: name, stopping: stopping, mayRead: mayRead}
}

// errStopping says that others are to be asked from now on.
var errStopping = errors.New("it stops: runs under way end, and nothing new is taken up")

// Ready is the answer to /readyz.
type Ready struct {
	Ready bool `json:"ready"`
	// Degraded is true while a part does not answer without which it works, with
	// less to do.
	Degraded bool            `json:"degraded,omitempty"`
	Parts    map[string]Part `json:"parts"`
}

// Part is one of the process.
type Part struct {
	OK bool `json:"ok"`
	// Error is told to those who may read runs.
	Error string `json:"error,omitempty"`
}

func (c *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := Ready{Ready: true, Parts: map[string]Part{}}
	open := c.mayRead(r)
	parts := maps.Clone(c.ask())
	parts[c.name] = nil
	select {
	case <-c.stopping:
		parts[c.name] = errStopping
	default:
	}
	for name, err := range parts {
		part := Part{OK: err == nil}
		if err != nil {
			if _, lesser := c.checks.Lesser[name]; lesser {
				answer.Degraded = true
			} else {
				answer.Ready = false
			}
			if open {
				part.Error = err.Error()
			}
		}
		answer.Parts[name] = part
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, answer)
}

// ask asks all parts side by side. Its time is its own: the next who asks gets
// the answer too.
func (c *readiness) ask() map[string]error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) < checkAge {
		return c.parts
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	parts := map[string]error{}
	for _, checks := range []map[string]Check{c.checks.Needed, c.checks.Lesser} {
		for name, check := range checks {
			group.Go(func() {
				err := check(ctx)
				mu.Lock()
				defer mu.Unlock()
				parts[name] = err
			})
		}
	}
	group.Wait()
	c.asked, c.parts = time.Now(), parts
	return parts
}
