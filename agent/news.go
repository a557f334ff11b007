package agent

import "sync"

// news reaches everybody who waits for it at the time. Its zero value is ready.
type news struct {
	mu   sync.Mutex
	more chan struct{}
}

// next is closed at the next news.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.more == nil {
		n.more = make(chan struct{})
	}
	return n.more
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.more != nil {
		close(n.more)
		n.more = nil
	}
}
