package git

import (
	"container/heap"
	"context"
	"fmt"
	"slices"

	"github.com/lab-layers/lab-layers/layers"
)

// FirstParents returns the commits from one to another by first parents,
// oldest first: at most limit of them, the newest, and with 0 all. An empty
// from means from the beginning; otherwise from itself is not among them, and
// must be on the way.
func (r *Repository) FirstParents(from, to layers.Commit, limit int) ([]CommitInfo, error) {
	var list []CommitInfo
	for at := to; at != from; {
		info, err := r.Commit(at)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", to, err)
		}
		list = append(list, info)
		if len(list) == limit {
			break
		}
		if len(info.Parents) == 0 {
			if from != "" {
				return nil, fmt.Errorf("history of %s: %s is not among its first parents", to, from)
			}
			break
		}
		at = info.Parents[0]
	}
	slices.Reverse(list)
	return list, nil
}

// IsAncestor reports whether commit a is b or can be reached from it.
func (r *Repository) IsAncestor(ctx context.Context, a, b layers.Commit) (bool, error) {
	if _, err := r.Commit(a); err != nil {
		return false, err
	}
	seen := map[layers.Commit]bool{b: true}
	var queue newestFirst
	for at := b; ; {
		if at == a {
			return true, nil
		}
		info, err := r.Commit(at)
		if err != nil {
			return false, fmt.Errorf("history of %s: %w", b, err)
		}
		for _, parent := range info.Parents {
			if seen[parent] {
				continue
			}
			seen[parent] = true
			parentInfo, err := r.Commit(parent)
			if err != nil {
				return false, fmt.Errorf("history of %s: %w", b, err)
			}
			heap.Push(&queue, parentInfo)
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		if queue.Len() == 0 {
			return false, nil
		}
		at = heap.Pop(&queue).(CommitInfo).Commit
	}
}

// newestFirst is a heap of commits, so that a near ancestor is found soon.
type newestFirst []CommitInfo

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].Time.After(h[j].Time) }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newestFirst) Push(x any)        { *h = append(*h, x.(CommitInfo)) }
func (h *newestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
