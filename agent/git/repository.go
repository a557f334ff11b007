package git

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxRefs bounds the refs of one repository.
	maxRefs = 1_000_000
	// maxCommit is the largest commit or tag object that is read, in bytes.
	maxCommit = 16 << 20
	// commitCacheSize is how many commits are kept.
	commitCacheSize = 1 << 15
	// peeledCacheSize is how many tags' commits are kept.
	peeledCacheSize = 1 << 18
)

var errTooManyRefs = fmt.Errorf("there are more than %d refs", maxRefs)

// Repository is a read-only view of a repository on disk. What others change
// in it is seen. It is safe for use by several goroutines, and holds open the
// files of packs it has read from for as long as it is reachable.
type Repository struct {
	layout  layout
	refs    *refFiles
	db      *database
	objects *Objects
	commits *lru[layers.Commit, CommitInfo]
	peeled  *lru[layers.ObjectID, layers.ObjectID] // of a tag → of its commit, "" if none
}

// OpenLocal opens the repository at a directory: a work tree, a linked work
// tree, or a bare repository. Nothing is copied or written.
func OpenLocal(dir string) (*Repository, error) {
	l, err := findLayout(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	r, err := openRepository(l)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	return r, nil
}

// openRepository reads objects from further directories than its own as well.
func openRepository(l layout, more ...string) (*Repository, error) {
	db, err := openDatabase(append([]string{l.objects()}, more...)...)
	if err != nil {
		return nil, err
	}
	return &Repository{
		layout:  l,
		refs:    &refFiles{dir: l.commonDir},
		db:      db,
		objects: newObjects(db),
		commits: newLRU[layers.Commit, CommitInfo](commitCacheSize),
		peeled:  newLRU[layers.ObjectID, layers.ObjectID](peeledCacheSize),
	}, nil
}

// Objects reads the repository's trees and blobs.
func (r *Repository) Objects() *Objects { return r.objects }

// Tree is the directory tree of a commit.
func (r *Repository) Tree(commit layers.Commit) (layers.Tree, error) {
	info, err := r.Commit(commit)
	if err != nil {
		return layers.Tree{}, err
	}
	return layers.Tree{Objects: r.objects, Root: info.Tree}, nil
}

// Refs returns the commits of all branches and tags. Tags of anything but a
// commit, symbolic refs and names that git does not allow are left out.
func (r *Repository) Refs() (map[layers.Ref]layers.Commit, error) {
	refs, _, err := r.readRefs()
	if err != nil {
		return nil, fmt.Errorf("read refs of %s: %w", r.layout.commonDir, err)
	}
	return refs, nil
}

func (r *Repository) readRefs() (refs map[layers.Ref]layers.Commit, refused []string, err error) {
	values, err := r.refs.read()
	if err != nil {
		return nil, nil, err
	}
	if len(values) > maxRefs {
		return nil, nil, errTooManyRefs
	}
	refs = make(map[layers.Ref]layers.Commit, len(values))
	for name, value := range values {
		if !validRefName(name) {
			refused = append(refused, name)
			continue
		}
		id := value.id
		if strings.HasPrefix(name, "refs/tags/") {
			if value.peeled != "" {
				id = value.peeled
			}
			if id, err = r.peel(id); err != nil {
				return nil, nil, fmt.Errorf("ref %s: %w", name, err)
			}
		}
		if id != "" {
			refs[layers.Ref(name)] = layers.Commit(id.String())
		}
	}
	return refs, refused, nil
}

// peel follows tags to a commit; the result is empty if they lead to anything
// else, or nowhere.
func (r *Repository) peel(id layers.ObjectID) (layers.ObjectID, error) {
	if known, ok := r.peeled.get(id); ok {
		return known, nil
	}
	at := id
	for range 10 {
		stated, err := r.db.stat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil // not kept: the object may come yet
		} else if err != nil {
			return "", err
		}
		if stated.kind == plumbing.CommitObject {
			r.peeled.put(id, at, 1)
			return at, nil
		}
		if stated.kind != plumbing.TagObject {
			break
		}
		raw, err := r.db.readAs(plumbing.TagObject, at, maxCommit)
		if err != nil {
			return "", err
		}
		target, _, _ := strings.Cut(string(raw), "\n")
		if at, err = layers.ParseObjectID(strings.TrimPrefix(target, "object ")); err != nil {
			return "", fmt.Errorf("tag %s: %w: %w", at, errDamaged, err)
		}
	}
	r.peeled.put(id, "", 1)
	return "", nil
}

// Head returns the ref that HEAD names, empty if it is detached. In a mirror it
// is the one that the remote told of when [Mirror.FetchAll] last ran.
func (r *Repository) Head() (layers.Ref, error) {
	ref, _, err := r.head()
	if err != nil {
		return "", fmt.Errorf("read HEAD of %s: %w", r.layout.gitDir, err)
	}
	return layers.Ref(ref), nil
}

// head returns the ref that HEAD names, or the commit at which it is detached.
func (r *Repository) head() (ref string, id layers.ObjectID, err error) {
	text, err := readPath(filepath.Join(r.layout.gitDir, "HEAD"))
	if err != nil {
		return "", "", err
	}
	if ref, ok := strings.CutPrefix(text, "ref:"); ok {
		return strings.TrimSpace(ref), "", nil
	}
	id, err = layers.ParseObjectID(strings.TrimSpace(text))
	return "", id, err
}
