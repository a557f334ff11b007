package child

import (
	"bytes"
	"log/slog"
	"sync"
)

const (
	keptLines = 15
	maxLine   = 4096 // bytes; what is longer is cut
)

// output takes what a program prints: it passes lines on to a log and keeps
// the last ones.
type output struct {
	log *slog.Logger // may be nil

	mu    sync.Mutex
	lines []string
	rest  []byte // an unfinished line
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	for {
		line, after, ended := bytes.Cut(p, []byte("\n"))
		o.rest = append(o.rest, line[:min(len(line), maxLine-len(o.rest))]...)
		if !ended {
			return n, nil
		}
		o.line(string(o.rest))
		o.rest = o.rest[:0]
		p = after
	}
}

func (o *output) line(s string) {
	if len(o.lines) == keptLines {
		o.lines = append(o.lines[:0], o.lines[1:]...)
	}
	o.lines = append(o.lines, s)
	if o.log != nil {
		o.log.Debug(s)
	}
}

// last returns the last lines printed.
func (o *output) last() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.lines...)
}
