package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lab-layers/lab-layers/layers"
)

// keepRefs is where the mirror's refs to fetched commits are. One says as well
// that once the whole tree of the commit was here.
const keepRefs = "refs/lab-layers/keep"

// Fetch brings what it takes to read a commit's tree, and keeps it until
// [Mirror.Drop], whatever becomes of the ref. ref is where the commit was seen.
// The error wraps fs.ErrNotExist if the remote no longer has the commit. It
// costs no conversation if the commit is here; after any failure it can be
// called again.
func (m *Mirror) Fetch(ctx context.Context, ref layers.Ref, commit layers.Commit) error {
	id, err := layers.ParseObjectID(string(commit))
	if err == nil && len(id) != idSize {
		err = fmt.Errorf("%s is not a SHA-1 id", commit)
	}
	if err == nil {
		err = m.fetch(ctx, ref, id)
	}
	return m.from.fault(fmt.Sprintf("fetch %.12s of", commit), err)
}

func (m *Mirror) fetch(ctx context.Context, ref layers.Ref, commit layers.ObjectID) error {
	done, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer done()
	if m.damaged.Swap(false) {
		if err := m.empty(); err != nil {
			return err
		}
	}
	if err := m.tidy(); err != nil {
		return err
	}
	if m.lacking.Swap(false) {
		clear(m.known)
	}
	err = m.whole(ctx, commit)
	if err != nil && m.from.path == "" && context.Cause(ctx) == nil {
		err = m.download(ctx, ref, commit, err)
	} else if errors.Is(err, errDamaged) {
		// Of a local remote: perhaps it is only what lies here.
		if err = m.empty(); err == nil {
			err = m.whole(ctx, commit)
		}
	}
	if err != nil {
		return err
	}
	return m.keep(commit)
}

// download gets a commit that is not wholly here, for the given reason.
func (m *Mirror) download(ctx context.Context, ref layers.Ref, commit layers.ObjectID, why error) error {
	if errors.Is(why, errDamaged) {
		if err := m.empty(); err != nil {
			return err
		}
	}
	fetch := func() error {
		if err := m.converse(ctx, func(ctx context.Context, talk *talk) error {
			return m.receive(ctx, talk, ref, commit)
		}); err != nil {
			return err
		}
		return m.whole(ctx, commit)
	}
	err := fetch()
	if errors.Is(err, errLacking) || errors.Is(err, errDamaged) {
		// Either the remote has not sent it, or what we told it we had is
		// not here: with nothing here, only the former is left.
		if err := m.empty(); err != nil {
			return err
		}
		err = fetch()
	}
	return err
}

// Drop lets go of commits; nothing is removed from the disk yet.
func (m *Mirror) Drop(ctx context.Context, commits ...layers.Commit) error {
	done, err := m.lock(ctx)
	if err != nil {
		return fmt.Errorf("drop commits of %s: %w", m.from.url, err)
	}
	defer done()
	for _, commit := range commits {
		if _, err := layers.ParseObjectID(string(commit)); err != nil {
			return fmt.Errorf("drop commits of %s: %w", m.from.url, err)
		}
		if err := os.Remove(filepath.Join(m.dir, keepRefs, string(commit))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop commits of %s: %w", m.from.url, err)
		}
	}
	return nil
}

func (m *Mirror) keep(commit layers.ObjectID) error {
	name := filepath.Join(m.dir, keepRefs, commit.String())
	if _, err := os.Lstat(name); err == nil {
		return nil
	}
	err := m.temp.writeFile(name, commit.String()+"\n")
	m.full = m.crowded()
	return err
}
