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
			moves = append(moves, Move{Repository: id, URL: url, Ref: ref, Old: seen[ref], New: commit, Quiet: quiet(ref, seen), Cuts: cuts(ref)})
		}
	}
	for ref, commit := range seen {
		if _, there := now[ref]; !there {
			moves = append(moves, Move{Repository: id, URL: url, Ref: ref, Old: commit, Cuts: cuts(ref)})
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

// Trunk is a repository's main branch, or master where there is no main; zero
// in a repository without either. A new branch is told against it, its rules say
// which tags other refs give, and it is given secrets.
type Trunk struct {
	Ref    layers.Ref
	Commit layers.Commit
}

// FindTrunk finds it among the refs as they were last seen.
func FindTrunk(ctx context.Context, store Store, repository RepositoryID) (Trunk, error) {
	names := []layers.Ref{mainRef, masterRef}
	refs, err := store.Refs(ctx, repository, names...)
	if err != nil {
		return Trunk{}, err
	}
	for _, ref := range names {
		if commit, ok := refs[ref]; ok {
			return Trunk{ref, commit}, nil
		}
	}
	return Trunk{}, nil
}

// quiet moves are noted without a run: a repository that is seen for the first
// time may have years of tags, and nobody waits for their images.
func quiet(ref layers.Ref, seen map[layers.Ref]layers.Commit) bool {
	return len(seen) == 0 && strings.HasPrefix(string(ref), "refs/tags/")
}

// cuts tells the refs whose newest commit alone counts, and a build of an older
// one is in its way. Main's run is brought to its end, so that a main that moves
// often comes to an end too, and so is a tag's.
func cuts(ref layers.Ref) bool {
	return strings.HasPrefix(string(ref), "refs/heads/") && ref != mainRef && ref != masterRef
}
