package deploy

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// correctionsAtOnce are made of one environment before it has to wait.
	correctionsAtOnce = 3
	correctionsEvery  = 10 * time.Minute
)

// corrections bound how often images that somebody set are replaced, as it may be
// another tool that sets them, which does so again at once.
type corrections struct {
	mu sync.Mutex
	of map[Environment]*rate.Limiter
}

func newCorrections() *corrections {
	return &corrections{of: map[Environment]*rate.Limiter{}}
}

// made notes a correction.
func (c *corrections) made(e Environment, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[e] == nil {
		c.of[e] = rate.NewLimiter(rate.Every(correctionsEvery), correctionsAtOnce)
	}
	c.of[e].AllowN(now, 1)
}

// rest is for how long no other correction is to be made; 0 if one may.
func (c *corrections) rest(e Environment, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[e] == nil {
		return 0
	}
	missing := 1 - c.of[e].TokensAt(now)
	return max(time.Duration(missing*float64(correctionsEvery)), 0)
}

func (c *corrections) forget(e Environment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, e)
}
