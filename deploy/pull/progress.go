package pull

import (
	"fmt"
	"time"
)

// Progress is how far nodes are with images.
type Progress struct {
	Nodes   int // that are to have them
	Holding int // that have them
	Failed  int // that will not get them
	// Parallel is how many pull at once, and Longest for how long the first of them
	// has.
	Parallel int
	Longest  time.Duration
	// Took are the pulls that ended.
	Took []time.Duration
}

// Left is how long it takes until no node pulls any more, by how long the pulls so
// far took; ok is false while none has ended.
func (p Progress) Left() (left time.Duration, ok bool) {
	waiting := p.Nodes - p.Holding - p.Failed
	if len(p.Took) == 0 || p.Parallel <= 0 || waiting <= 0 {
		return 0, false
	}
	var sum time.Duration
	for _, t := range p.Took {
		sum += t
	}
	mean := sum / time.Duration(len(p.Took))
	rounds := (waiting + p.Parallel - 1) / p.Parallel
	return max(0, time.Duration(rounds)*mean-min(p.Longest, mean)), true
}

// String is the progress for people, such as "on 9 of 12 nodes, about 4 min".
func (p Progress) String() string {
	text := fmt.Sprintf("on %d of %d nodes", p.Holding, p.Nodes)
	if left, ok := p.Left(); ok {
		text += ", about " + about(left)
	}
	return text
}

// about is a time as far as it can be foretold.
func about(d time.Duration) string {
	if d <= 50*time.Second {
		return fmt.Sprintf("%d s", 10*max(1, int((d+9*time.Second)/(10*time.Second))))
	}
	if d <= 90*time.Minute {
		return fmt.Sprintf("%d min", int((d+30*time.Second)/time.Minute))
	}
	return fmt.Sprintf("%d h", int((d+30*time.Minute)/time.Hour))
}
