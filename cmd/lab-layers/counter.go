package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// counterPause is how often a counter is written, so that a terminal does not
// slow down what is counted.
const counterPause = 100 * time.Millisecond

// counter shows on one line of a terminal how far something has come.
type counter struct {
	w     io.Writer // nil where nobody watches
	what  string
	total int
	now   func() time.Time

	done  int
	last  time.Time
	shown bool
}

// newCounter counts on w if that is a terminal.
func newCounter(w io.Writer, what string, total int) *counter {
	c := &counter{what: what, total: total, now: time.Now}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		c.w = w
	}
	return c
}

// step counts one more.
func (c *counter) step() {
	c.done++
	if c.w == nil || c.now().Sub(c.last) < counterPause {
		return
	}
	c.last, c.shown = c.now(), true
	fmt.Fprintf(c.w, "\r%d of %d %s", c.done, c.total, c.what)
}

// clear takes the line away, before something else is written.
func (c *counter) clear() {
	if c.shown {
		fmt.Fprint(c.w, "\r\x1b[K")
		c.shown = false
	}
}
