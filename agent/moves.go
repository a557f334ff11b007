package agent

import (
	"context"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// movesBetween lists what it takes to get from the refs as they were seen to
// the refs as they are, main first. Of a repository that is seen for the first time
// some are quiet.
func movesBetween(id RepositoryID, url string, seen, now map[layers.Ref]layers.Commit, branches int) []Move {
	var moves []Move
	quiet := func(layers.Ref) bool { return false }
	if len(seen) == 0 {
		quiet = quietAtFirst(now, branches)
	}
	for ref, commit := range now {
		if seen[ref] != commit {
			moves = append(moves, Move{Repository: id, URL: url, Ref: ref, Old: seen[ref], New: commit, Quiet: quiet(ref), Cuts: cuts(ref)})
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

// quietAtFirst tells the refs of a repository seen for the first time that are
// noted without a run. It may have years of tags, and nobody waits for their
// images. Where it has more branches besides the trunk than a number, most of them
// are as old, and each is built when it next moves; 0 is no limit.
func quietAtFirst(refs map[layers.Ref]layers.Commit, branches int) func(layers.Ref) bool {
	trunk := mainRef
	if _, ok := refs[mainRef]; !ok {
		trunk = masterRef
	}
	others := 0
	for ref := range refs {
		if isBranch(ref) && ref != trunk {
			others++
		}
	}
	crowd := branches > 0 && others > branches
	return func(ref layers.Ref) bool { return !isBranch(ref) || crowd && ref != trunk }
}

func isBranch(ref layers.Ref) bool { return strings.HasPrefix(string(ref), "refs/heads/") }

// cuts tells the refs whose newest commit alone counts, and a build of an older
// one is in its way. Main's run is brought to its end, so that a main that moves
// often comes to an end too, and so is a tag's.
func cuts(ref layers.Ref) bool {
	return isBranch(ref) && ref != mainRef && ref != masterRef
}
