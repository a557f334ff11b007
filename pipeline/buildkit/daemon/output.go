package daemon

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

const (
	keptLines = 15
	maxLine   = 4096 // bytes; what is longer is cut
)

// output takes what the daemon prints: it passes lines on to a log and keeps
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
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			o.rest = append(o.rest, p[:min(len(p), maxLine-len(o.rest))]...)
			return n, nil
		}
		o.rest = append(o.rest, p[:min(i, maxLine-len(o.rest))]...)
		o.line(string(o.rest))
		o.rest = o.rest[:0]
		p = p[i+1:]
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

// contains reports whether one of the last lines holds a text.
func (o *output) contains(text string) bool {
	return slices.ContainsFunc(o.last(), func(line string) bool { return strings.Contains(line, text) })
}
