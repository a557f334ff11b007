package buildkit

import "fmt"

// boundedLog keeps the head and the tail of what is written to it.
type boundedLog struct {
	limit   int // bytes of each
	head    []byte
	tail    []byte // a ring once it is full
	next    int    // where the ring goes on
	dropped int64
}

func newBoundedLog(limit int) *boundedLog { return &boundedLog{limit: limit / 2} }

func (l *boundedLog) write(p []byte) {
	if room := l.limit - len(l.head); room > 0 {
		n := min(room, len(p))
		l.head = append(l.head, p[:n]...)
		p = p[n:]
	}
	if room := l.limit - len(l.tail); room > 0 {
		n := min(room, len(p))
		l.tail = append(l.tail, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(l.tail[l.next:], p)
		l.dropped += int64(n)
		l.next = (l.next + n) % l.limit
		p = p[n:]
	}
}

// bytes returns what was kept, with a line in the middle if some was not.
func (l *boundedLog) bytes() []byte {
	out := append([]byte(nil), l.head...)
	if l.dropped > 0 {
		out = fmt.Appendf(out, "\n[… %d bytes left out …]\n", l.dropped)
	}
	out = append(out, l.tail[l.next:]...)
	return append(out, l.tail[:l.next]...)
}
