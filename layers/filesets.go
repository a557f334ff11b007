package layers

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// keptFiles bounds the files of all filesets that are kept, at some 100 bytes
// each, so that neither the next plan nor its explanation lists them again.
const keptFiles = 1 << 18

// filesets keeps what was read last. It is safe for use by several goroutines.
type filesets struct {
	mu    sync.Mutex
	sets  *lru.Cache[memo, *fileset]
	files int
}

func newFilesets() *filesets {
	return &filesets{sets: cache[memo, *fileset](keptFiles + 1)} // each weighs at least one
}

func (f *filesets) get(name memo) (*fileset, bool) { return f.sets.Get(name) }

// add keeps a set, unless it alone is more than an eighth of all there may be.
func (f *filesets) add(name memo, set *fileset) {
	weight := len(set.files) + 1
	if weight > keptFiles/8 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sets.Contains(name) {
		return
	}
	f.files += weight
	f.sets.Add(name, set)
	for f.files > keptFiles {
		_, oldest, _ := f.sets.RemoveOldest()
		f.files -= len(oldest.files) + 1
	}
}
