package agent

import (
	"context"
	"sync"
)

// Wake makes the agent look at a repository at once, or once more if a look is
// under way, and does not wait for it. However many wakes come while a look is
// under way, one look follows, and however long they go on, looks begin no more
// often than five times a second. It reports false for a URL that is not watched.
func (a *Agent) Wake(url string) bool {
	b := a.bell(url)
	if b == nil {
		return false
	}
	signal(b.rung)
	return true
}

// WakeAndWait is Wake, and waits for a look that began after the call. It
// returns the runs that were found since, also with the error of the context or
// of the look. It returns nothing for a URL that is not watched.
func (a *Agent) WakeAndWait(ctx context.Context, url string) ([]Run, error) {
	b := a.bell(url)
	if b == nil {
		return nil, nil
	}
	w := &waiter{done: make(chan error, 1)}
	b.mu.Lock()
	b.waiting[w] = true
	b.mu.Unlock()
	signal(b.rung)
	var err error
	select {
	case err = <-w.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, w)
	return w.runs, err
}

// bell finds the bell of a watched repository; nil if there is none.
func (a *Agent) bell(url string) *bell {
	a.hang()
	return a.bells[url]
}

// hang makes what others ring, once.
func (a *Agent) hang() {
	a.hung.Do(func() {
		a.bells = map[string]*bell{}
		for _, source := range a.Sources {
			a.bells[source.URL()] = &bell{rung: make(chan struct{}, 1), waiting: map[*waiter]bool{}}
		}
		a.pushed = newPushed()
	})
}

// bell calls for looks at one repository.
type bell struct {
	rung    chan struct{} // has room for one ring
	mu      sync.Mutex
	waiting map[*waiter]bool
}

// waiter waits for a look that begins after it came.
type waiter struct {
	runs  []Run
	begun bool
	done  chan error // has room for one
}

// begin is called before the refs are read: that look answers every ring so
// far.
func (b *bell) begin() {
	select {
	case <-b.rung:
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.waiting {
		w.begun = true
	}
}

// end tells those who wait what the look found.
func (b *bell) end(runs []Run, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.waiting {
		w.runs = append(w.runs, runs...)
		if w.begun {
			delete(b.waiting, w)
			w.done <- err
		}
	}
}
