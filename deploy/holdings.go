package deploy

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
)

// Holding is that a node was seen to have an image.
type Holding struct {
	Node   string
	Digest digest.Digest
	Seen   time.Time
}

// holdings are the images that nodes were seen to have. A kubelet tells of its 50
// largest alone, and the pod that ran one goes: so what was seen is kept.
type holdings struct {
	now func() time.Time
	mu  sync.Mutex
	// seen is when, by node and digest.
	seen map[string]map[digest.Digest]time.Time
}

const (
	// listedImages is how many images a kubelet tells of, unless it is configured to
	// tell of more: nodeStatusMaxImages. From that many on there may be others.
	listedImages = 50
	// listLag is by how much a kubelet's list may be behind.
	listLag = 10 * time.Minute
	// renewHolding is how old what was seen may be before it is recorded anew.
	renewHolding = time.Hour
	// keepHolding is for how long it is kept where nobody asks any more.
	keepHolding = 30 * 24 * time.Hour
)

func newHoldings(now func() time.Time) *holdings {
	return &holdings{now: now, seen: map[string]map[digest.Digest]time.Time{}}
}

// load reads what was recorded before this process led.
func (h *holdings) load(ctx context.Context, store Store) error {
	recorded, err := store.Holdings(ctx, keepHolding)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range recorded {
		h.set(r)
	}
	return nil
}

func (h *holdings) set(r Holding) {
	if h.seen[r.Node] == nil {
		h.seen[r.Node] = map[digest.Digest]time.Time{}
	}
	h.seen[r.Node][r.Digest] = r.Seen
}

// sighting is whether a node has an image.
type sighting struct {
	held bool
	// last is when it was last seen there; zero if it is there now.
	last time.Time
	// news is what is to be recorded, and gone what is not true any more.
	news, gone *Holding
}

// look finds out whether a node has an image: the kubelet lists it, or there is a
// container of it (used), or it was seen there and nothing speaks against that. The
// list of a node that has few images does, once it has had time to be renewed.
func (h *holdings) look(node *corev1.Node, d digest.Digest, used bool) sighting {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	last, known := h.seen[node.Name][d]
	if used || lists(node, d) {
		s := sighting{held: true}
		if now.Sub(last) > renewHolding {
			s.news = &Holding{node.Name, d, now}
			h.set(*s.news)
		}
		return s
	}
	switch {
	case !known:
		return sighting{}
	case last.Before(node.CreationTimestamp.Time), len(node.Status.Images) < listedImages && now.Sub(last) > listLag:
		delete(h.seen[node.Name], d)
		return sighting{gone: &Holding{node.Name, d, last}}
	}
	return sighting{held: true, last: last}
}

// forget takes back what could not be recorded, so that it is tried again.
func (h *holdings) forget(list []Holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range list {
		delete(h.seen[r.Node], r.Digest)
	}
}

// drop lets go of a node that is no more. What is recorded of it is told from another's
// of that name by when the node was made.
func (h *holdings) drop(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seen, node)
}

// lists reports whether a node's kubelet tells of an image.
func lists(node *corev1.Node, d digest.Digest) bool {
	for _, image := range node.Status.Images {
		for _, name := range image.Names {
			if strings.HasSuffix(name, string(d)) {
				return true
			}
		}
	}
	return false
}

// digestsOn are the digests that a node's kubelet tells of.
func digestsOn(node *corev1.Node) map[digest.Digest]bool {
	all := map[digest.Digest]bool{}
	for _, image := range node.Status.Images {
		for _, name := range image.Names {
			if d := digestOf(name); d != "" {
				all[d] = true
			}
		}
	}
	return all
}

// moved are the digests that one of two nodes has and the other has not.
func moved(was, now *corev1.Node) map[digest.Digest]bool {
	before, after := digestsOn(was), digestsOn(now)
	all := maps.Clone(before)
	maps.Copy(all, after)
	maps.DeleteFunc(all, func(d digest.Digest, _ bool) bool { return before[d] == after[d] })
	return all
}
