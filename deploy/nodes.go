package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
)

// Nodes is on which nodes the images of an environment are: those that it has, or
// is about to get.
type Nodes struct {
	// Eligible is how many nodes its pods may run on, and Holding how many of them
	// have the images.
	Eligible int `json:"eligible"`
	Holding  int `json:"holding"`
	// Missing are nodes that have not, by name; the first of them.
	Missing []string `json:"missing,omitempty"`
	// LastSeen is when the images were last seen on the node where that is longest
	// ago; zero if all nodes tell of them now.
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// String is how people are told in a word, such as "9/12".
func (n Nodes) String() string { return fmt.Sprintf("%d/%d", n.Holding, n.Eligible) }

// Detail is how they are told in a line, such as "9 of 12; not on gpu-3, gpu-7,
// gpu-9".
func (n Nodes) Detail() string {
	text := fmt.Sprintf("%d of %d", n.Holding, n.Eligible)
	if len(n.Missing) > 0 {
		text += "; not on " + strings.Join(n.Missing, ", ")
		if more := n.Eligible - n.Holding - len(n.Missing); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	}
	if !n.LastSeen.IsZero() {
		text += "; last seen " + n.LastSeen.UTC().Format("2006-01-02 15:04 MST")
	}
	return text
}

// maxMissing bounds the nodes that are named.
const maxMissing = 20

// hosts are the nodes that a workload's pods may run on, by name, and that have what
// they ask for, taken or free. None are where nodes may not be read.
func (l *leader) hosts(w *workload) []*corev1.Node {
	wants := request(podOf(w.template))
	return slices.DeleteFunc(w.eligible(listed[*corev1.Node](l.cluster.nodes)), func(n *corev1.Node) bool {
		return !fits(n.Status.Allocatable, wants)
	})
}

// holds reports whether a node has an image, and since when that is not seen any
// more. What is news is added to a list to record.
func (l *leader) holds(node *corev1.Node, d digest.Digest, news *sightings) sighting {
	s := l.holdings.look(node, d, l.cluster.used(node.Name, d))
	if s.news != nil {
		news.saw = append(news.saw, *s.news)
	}
	if s.gone != nil {
		news.gone = append(news.gone, *s.gone)
	}
	return s
}

// sightings are to be recorded.
type sightings struct{ saw, gone []Holding }

// record writes sightings down.
func (l *leader) record(ctx context.Context, news sightings) error {
	if len(news.saw)+len(news.gone) == 0 {
		return nil
	}
	if err := l.Store.Saw(ctx, news.saw, news.gone); err != nil {
		l.holdings.forget(news.saw)
		l.Log.Warn("cannot record which nodes have an image", "error", err)
		return err
	}
	return nil
}

// nodes finds on which nodes the images of an environment are: those of its rollout
// that is under way, else those that it has. It is nil where that is not known.
func (l *leader) nodes(ctx context.Context, f *facts) (*Nodes, error) {
	images := f.workload.managed(f.adoption)
	if f.last != nil && !f.last.State.Final() {
		images = f.last.goal(to)
	}
	digests := images.digests()
	eligible := l.hosts(f.workload)
	if len(digests) == 0 || len(eligible) == 0 {
		return nil, nil
	}
	n := &Nodes{Eligible: len(eligible)}
	var news sightings
	for _, node := range eligible {
		holds := true
		for _, d := range digests {
			s := l.holds(node, d, &news)
			holds = holds && s.held
			if !s.last.IsZero() && (n.LastSeen.IsZero() || s.last.Before(n.LastSeen)) {
				n.LastSeen = s.last
			}
		}
		switch {
		case holds:
			n.Holding++
		case len(n.Missing) < maxMissing:
			n.Missing = append(n.Missing, node.Name)
		}
	}
	return n, l.record(ctx, news)
}

// digests of images, each once; none if one is not pinned to any.
func (a Images) digests() []digest.Digest {
	var all []digest.Digest
	for _, container := range a.sorted() {
		d := digestOf(a[container])
		if d == "" {
			return nil
		}
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}
