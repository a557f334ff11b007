package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxTree is the largest tree object that is read, in bytes: about 1.5
	// million entries.
	maxTree = 64 << 20
	// treeCacheEntries bounds the parsed trees that are kept; an entry takes
	// about 75 bytes.
	treeCacheEntries = 1 << 19
)

// Objects reads trees and blobs of a repository. It implements
// [layers.Objects]. Errors wrap fs.ErrNotExist where an object is missing.
type Objects struct {
	db    *database
	trees *lru[layers.ObjectID, []layers.Entry]
	// trouble is told when an object is damaged or missing; it may be nil.
	trouble func(error)
}

var _ layers.Objects = (*Objects)(nil)

func newObjects(db *database) *Objects {
	return &Objects{db: db, trees: newLRU[layers.ObjectID, []layers.Entry](treeCacheEntries)}
}

// report tells of trouble, and passes the error on.
func (o *Objects) report(err error) error {
	if o.trouble != nil && (errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist)) {
		o.trouble(err)
	}
	return err
}

// Tree implements [layers.Objects]. A submodule's entry has the mode
// [layers.ModeSubmodule] and names a commit that is not in this repository.
func (o *Objects) Tree(id layers.ObjectID) ([]layers.Entry, error) {
	if entries, ok := o.trees.get(id); ok {
		return entries, nil
	}
	raw, err := o.db.readAs(plumbing.TreeObject, id, maxTree)
	if err != nil {
		return nil, o.report(err)
	}
	entries, err := parseTree(raw)
	if err != nil {
		return nil, fmt.Errorf("tree %s is malformed: %w", id, err)
	}
	o.trees.put(id, entries, len(entries)+8)
	return entries, nil
}

// Size implements [layers.Objects]. It reads the head of the blob alone.
func (o *Objects) Size(id layers.ObjectID) (int64, error) {
	stated, err := o.db.stat(id)
	if err != nil {
		return 0, o.report(err)
	}
	if stated.kind != plumbing.BlobObject {
		return 0, fmt.Errorf("size of %s: it is a %s, not a blob", id, stated.kind)
	}
	return stated.size, nil
}

// Open implements [layers.Objects]. A blob that is stored plain, as every
// large one is, is read from the disk piece by piece.
func (o *Objects) Open(id layers.ObjectID) (io.ReadCloser, error) {
	r, err := at(o.db, id, func(where place) (*blobReader, error) { return openBlob(id, where) })
	if err != nil {
		return nil, o.report(err)
	}
	r.report = o.report
	return r, nil
}

func openBlob(id layers.ObjectID, where place) (*blobReader, error) {
	if where.pack == nil {
		loose, err := openLoose(where.loose)
		if err != nil {
			return nil, err
		}
		return newBlobReader(id, loose.kind, loose.size, loose.in, loose.file)
	}
	entry, in, err := where.pack.entry(where.offset)
	if err != nil {
		return nil, err
	}
	if !entry.kind.IsDelta() {
		return newBlobReader(id, entry.kind, entry.size, in, nil)
	}
	in.release()
	o, err := where.pack.read(where.offset, maxDeltified)
	if err != nil {
		return nil, err
	}
	if o.kind != plumbing.BlobObject {
		return nil, notBlob(id, o.kind)
	}
	return &blobReader{id: id, size: int64(len(o.data)), left: int64(len(o.data)), data: o.data}, nil
}

func notBlob(id layers.ObjectID, kind plumbing.ObjectType) error {
	return fmt.Errorf("open %s: it is a %s, not a blob", id, kind)
}

// blobReader reads a blob to its stated length, neither more nor less.
type blobReader struct {
	id         layers.ObjectID
	size, left int64
	data       []byte    // in memory, or
	in         *inflater // from the disk
	file       *os.File  // of a loose object
	report     func(error) error
	closed     bool
}

func newBlobReader(id layers.ObjectID, kind plumbing.ObjectType, size int64, in *inflater, file *os.File) (*blobReader, error) {
	r := &blobReader{id: id, size: size, left: size, in: in, file: file}
	if kind != plumbing.BlobObject {
		r.Close()
		return nil, notBlob(id, kind)
	}
	return r, nil
}

func (r *blobReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("read blob %s: %w", r.id, fs.ErrClosed)
	}
	if r.in == nil {
		n := copy(p, r.data[r.size-r.left:])
		r.left -= int64(n)
		if n == 0 && len(p) > 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n, err := r.in.Read(p)
	r.left -= int64(n)
	switch {
	case r.left < 0:
		return 0, r.fault(fmt.Errorf("%w: it is longer than its %d bytes", errDamaged, r.size))
	case err == io.EOF && r.left > 0:
		return n, r.fault(fmt.Errorf("%w: it ends %d bytes before its %d", errDamaged, r.left, r.size))
	case err == io.EOF:
		return n, io.EOF
	case err != nil:
		return n, r.fault(err)
	}
	return n, nil
}

func (r *blobReader) fault(err error) error {
	err = fmt.Errorf("read blob %s: %w", r.id, err)
	if r.report != nil {
		err = r.report(err)
	}
	return err
}

// Close implements io.Closer.
func (r *blobReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.in != nil {
		r.in.release()
	}
	if r.file != nil {
		return r.file.Close()
	}
	return nil
}
