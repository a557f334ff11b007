package web

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

const (
	// maxEvents and maxBytes bound what is kept of one run's events.
	maxEvents = 4096
	maxBytes  = 1 << 20
	// maxBatch bounds what a reader takes at a time.
	maxBatch = 256
)

// event is one thing that happened, as readers get it.
type event struct {
	name string
	data []byte // JSON
}

// stream is the last events of one run. Whoever writes never waits: readers
// share what is kept, and lose what is kept no longer.
type stream struct {
	// name tells it from other streams of the run: of earlier attempts, and of
	// agents before this one.
	name    string
	mu      sync.Mutex
	events  []event
	dropped int // how many events before these are gone
	bytes   int
	over    bool
	changed chan struct{} // closed at the next change
}

func newStream() *stream { return &stream{name: rand.Text(), changed: make(chan struct{})} }

// id names the place before an event for a reader who comes again.
func (s *stream) id(at int) string { return fmt.Sprintf("%s-%d", s.name, at) }

// place is what an id of this stream names; of any other it is the beginning.
func (s *stream) place(id string) int {
	name, text, _ := strings.Cut(id, "-")
	at, err := strconv.Atoi(text)
	if err != nil || name != s.name {
		return 0
	}
	return max(0, at)
}

// read reports whether nothing comes after a place.
func (s *stream) read(at int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over && at >= s.dropped+len(s.events)
}

// add appends an event; the last one ends the stream.
func (s *stream) add(e event, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.events = append(s.events, e)
	s.bytes += len(e.data)
	for len(s.events) > 1 && (len(s.events) > maxEvents || s.bytes > maxBytes) {
		s.bytes -= len(s.events[0].data)
		s.events[0] = event{} // let it go
		s.events = s.events[1:]
		s.dropped++
	}
	s.over = last
	close(s.changed)
	s.changed = make(chan struct{})
}

// batch is some events of a stream.
type batch struct {
	events []event
	// lost is how many events were gone before these.
	lost int
	// next is where to go on.
	next int
	// over is true after the last event.
	over bool
	// changed is closed when there is more.
	changed <-chan struct{}
}

// from reads on at a place; 0 is the beginning.
func (s *stream) from(at int) (b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.lost = max(0, s.dropped-at)
	at = min(max(at, s.dropped), s.dropped+len(s.events))
	rest := s.events[at-s.dropped:]
	b.events = append(b.events, rest[:min(len(rest), maxBatch)]...)
	b.next = at + len(b.events)
	b.over = s.over && len(b.events) == len(rest)
	b.changed = s.changed
	return b
}

func (s *stream) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}
