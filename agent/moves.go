package agent

import (
	"context"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// movesBetween lists what it takes to get from the refs as they were seen to
// the refs as they are, main first.
func movesBetween(id RepositoryID, url string, seen, now map[layers.Ref]layers.Commit) []Move {
	var moves []Move
	for ref, commit := range now {
		if seen[ref] != commit {
			moves = append(moves, Move{Repository: id, URL: url, Ref: ref, Old: seen[ref], New: commit, Quiet: quiet(ref, seen)})
		}
	}
	for ref, commit := range seen {
		if _, there := now[ref]; !there {
			moves = append(moves, Move{Repository: id, URL: url, Ref: ref, Old: commit})
		}
	}
	slices.SortFunc(moves, func(a, b Move) int {
		if a.Ref == mainRef || b.Ref == mainRef {
			if a.Ref == b.Ref {
				return 0
			}
			if a.Ref == mainRef {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a.Ref), string(b.Ref))
	})
	return moves
}

const (
	mainRef   layers.Ref = "refs/heads/main"
	masterRef layers.Ref = "refs/heads/master"
)

// Trunk finds where main is, or master in a repository without main; empty for
// a move of that branch itself. It is what a new branch is told against, and
// whose rules say which tags other refs give.
func Trunk(ctx context.Context, store Store, move Move) (layers.Commit, error) {
	refs, err := store.Refs(ctx, move.Repository)
	if err != nil {
		return "", err
	}
	for _, ref := range []layers.Ref{mainRef, masterRef} {
		if commit, ok := refs[ref]; ok {
			if ref == move.Ref {
				return "", nil
			}
			return commit, nil
		}
	}
	return "", nil
}

// quiet moves are noted without a run: a repository that is seen for the first
// time may have years of tags, and nobody waits for their images.
func quiet(ref layers.Ref, seen map[layers.Ref]layers.Commit) bool {
	return len(seen) == 0 && strings.HasPrefix(string(ref), "refs/tags/")
}
