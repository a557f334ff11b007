package web

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxStreams is how many readers there may be at once.
	maxStreams = 128
	// writeTime is how long one write to a reader may take.
	writeTime = 20 * time.Second
	// aliveTime is the longest silence, also between looks at the records for
	// a run that another agent has.
	aliveTime = 5 * time.Second
)

// events streams what a run says, from its beginning as far as it is kept, as
// server-sent events: plan, build, dropped, and at last end or again. For a run
// that has ended long ago there is only the end. One that does not go on here,
// or is in the queue again, is waited for.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	select {
	case h.readable <- struct{}{}:
		defer func() { <-h.readable }()
	default:
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many are reading already")
		return
	}
	run, ok := h.named(w, r)
	if !ok {
		return
	}
	h.Metrics.readers.Inc()
	defer h.Metrics.readers.Dec()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies that would wait for more
	out := &sse{w: w, control: http.NewResponseController(w)}
	if out.flush() != nil {
		return
	}
	last := r.Header.Get("Last-Event-ID")
	s, at := h.Feed.resume(run.ID, last)
	for s == nil && !run.State.Final() {
		_, _, _, changed := h.Feed.planned(run.ID)
		if s, at = h.Feed.resume(run.ID, last); s != nil {
			break
		}
		if !out.pause(r.Context(), changed) {
			return
		}
		again, err := h.Records.Run(r.Context(), run.ID)
		if err == nil && again != nil {
			run = again
		}
		s, at = h.Feed.resume(run.ID, last)
	}
	if s == nil {
		_ = out.send("", encode("end", Ended{run.ID, run.State, run.Reason}))
		return
	}
	h.follow(r.Context(), out, s, at)
}

// follow sends a stream from a place on until it is over or the reader gone.
func (h *handler) follow(ctx context.Context, out *sse, s *stream, at int) {
	for {
		b := s.from(at)
		if b.lost > 0 {
			h.Metrics.dropped.Add(float64(b.lost))
			if out.send(s.id(b.next-len(b.events)), encode("dropped", Dropped{b.lost})) != nil {
				return
			}
		}
		for i, e := range b.events {
			if out.send(s.id(b.next-len(b.events)+i+1), e) != nil {
				return
			}
		}
		at = b.next
		if b.over {
			return
		}
		if len(b.events) == 0 && !out.pause(ctx, b.changed) {
			return
		}
	}
}

// sse writes server-sent events.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// send writes one event; its id is where to go on after it.
func (s *sse) send(id string, e event) error {
	if err := s.allow(); err != nil {
		return err
	}
	// JSON has no line breaks.
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: %s\ndata: %s\n\n", id, e.name, e.data); err != nil {
		return err
	}
	return s.control.Flush()
}

// pause waits for a change, and shows that it does; false if the reader or the
// server is going.
func (s *sse) pause(ctx context.Context, changed <-chan struct{}) bool {
	timer := time.NewTimer(aliveTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
		return true
	case <-timer.C:
		if s.allow() != nil {
			return false
		}
		_, err := fmt.Fprint(s.w, ":\n\n")
		return err == nil && s.control.Flush() == nil
	}
}

func (s *sse) flush() error {
	if err := s.allow(); err != nil {
		return err
	}
	return s.control.Flush()
}

// allow gives the next write its time.
func (s *sse) allow() error { return s.control.SetWriteDeadline(time.Now().Add(writeTime)) }
