package operator

import (
	"sync"
	"time"
)

// shared is an answer that many need, and one asks for once in a while.
type shared[T any] struct {
	mu     sync.Mutex // held by the one who asks
	answer T
	until  time.Time
}

// get returns the answer, which is at most so old.
func (s *shared[T]) get(now time.Time, age time.Duration, ask func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Before(s.until) {
		s.answer = ask()
		s.until = now.Add(age)
	}
	return s.answer
}
