package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxKnown bounds the trees that are remembered to be whole.
	maxKnown = 1 << 20
	// maxTreeDepth bounds directories in directories.
	maxTreeDepth = 2048
)

// errLacking says that a commit came without all of its tree.
var errLacking = errors.New("the remote has not sent everything")

// whole makes sure that a commit and all of its tree lie in the mirror: of a
// local remote, it takes over what is missing. The error wraps fs.ErrNotExist
// if the commit itself is missing.
func (m *Mirror) whole(ctx context.Context, commit layers.ObjectID) error {
	if err := m.obtain(ctx, commit); err != nil {
		return err
	}
	raw, err := m.repo.db.readAs(plumbing.CommitObject, commit, maxCommit)
	if err != nil {
		return err
	}
	info, err := parseCommit(layers.Commit(commit.String()), raw)
	if err != nil {
		return fmt.Errorf("read commit %s: %w", commit, err)
	}
	if len(m.known) > maxKnown {
		clear(m.known)
	}
	err = m.wholeTree(ctx, info.Tree, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v", errLacking, err)
	}
	return err
}

func (m *Mirror) wholeTree(ctx context.Context, id layers.ObjectID, depth int) error {
	if _, ok := m.known[id]; ok {
		return nil
	}
	if depth > maxTreeDepth {
		return fmt.Errorf("directories lie more than %d deep", maxTreeDepth)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := m.obtain(ctx, id); err != nil {
		return err
	}
	entries, err := m.repo.objects.Tree(id)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch {
		case entry.IsDir():
			err = m.wholeTree(ctx, entry.ID, depth+1)
		case entry.Mode != layers.ModeSubmodule:
			err = m.obtain(ctx, entry.ID)
		}
		if err != nil {
			return err
		}
	}
	m.known[id] = struct{}{}
	return nil
}

// obtain makes sure that one object lies in the mirror.
func (m *Mirror) obtain(ctx context.Context, id layers.ObjectID) error {
	_, err := m.here(id)
	if m.from.path == "" || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	remote, err := m.openRemote()
	if err != nil {
		return fmt.Errorf("%v", err) // that the remote is missing does not say that the commit is
	}
	_, err = at(remote.db, id, func(where place) (struct{}, error) {
		return struct{}{}, m.takeOver(ctx, id, where)
	})
	if _, gone := os.Stat(remote.layout.objects()); gone != nil {
		return fmt.Errorf("%v", gone)
	}
	return err
}
