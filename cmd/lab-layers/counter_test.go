package main

import (
	"bytes"
	"testing"
	"time"
)

func TestCounter(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1, 0)
	c := newCounter(&out, "commits", 3)
	c.step()
	if out.Len() > 0 {
		t.Fatalf("%q was written where there is no terminal", &out)
	}
	c = &counter{w: &out, what: "commits", total: 3, now: func() time.Time { return now }}
	c.step()
	c.step() // too soon
	now = now.Add(counterPause)
	c.step()
	c.clear()
	c.clear()
	if want := "\r1 of 3 commits\r3 of 3 commits\r\x1b[K"; out.String() != want {
		t.Errorf("wrote %q, want %q", &out, want)
	}
}
