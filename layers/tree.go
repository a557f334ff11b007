package layers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// ErrTooLarge says that a file of the repository is over a limit.
var ErrTooLarge = errors.New("file is too large")

// Tree is the directory tree of one commit.
type Tree struct {
	Objects
	Root ObjectID
}

// Entry finds what lies at a slash-separated path relative to the root; "." is
// the root itself. It does not follow symbolic links. The error wraps
// fs.ErrNotExist if nothing lies there.
func (t Tree) Entry(name string) (Entry, error) {
	name = path.Clean(name)
	at := Entry{Name: ".", Mode: ModeDir, ID: t.Root}
	if name == "." {
		return at, nil
	}
	for _, part := range strings.Split(name, "/") {
		if !at.IsDir() {
			return Entry{}, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
		}
		entries, err := t.Tree(at.ID)
		if err != nil {
			return Entry{}, unreadable(err)
		}
		found, ok := find(entries, part)
		if !ok {
			return Entry{}, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
		}
		at = found
	}
	return at, nil
}

// unreadable hides what kind of error an object database gave: an object that
// is missing there must never pass for a path that a commit does not have, as
// it would narrow what a layer reads.
func unreadable(err error) error { return &objectError{err} }

// objectError is the object database's fault, not the repository's people's.
type objectError struct{ err error }

func (e *objectError) Error() string { return "read the repository's objects: " + e.err.Error() }

// find looks a name up among entries in Git's order, in which a directory
// stands where its name with a slash would.
func find(entries []Entry, name string) (Entry, bool) {
	for _, end := range []byte{0, '/'} {
		i := sort.Search(len(entries), func(i int) bool { return compareNames(entries[i], name, end) >= 0 })
		if i < len(entries) && entries[i].Name == name {
			return entries[i], true
		}
	}
	return Entry{}, false
}

// compareNames orders an entry against a name that ends in the given byte.
func compareNames(e Entry, name string, end byte) int {
	n := min(len(e.Name), len(name))
	if c := strings.Compare(e.Name[:n], name[:n]); c != 0 {
		return c
	}
	return int(byteAt(e.Name, n, e.IsDir())) - int(byteAt(name, n, end == '/'))
}

func byteAt(name string, i int, dir bool) byte {
	switch {
	case i < len(name):
		return name[i]
	case dir:
		return '/'
	}
	return 0
}

// ReadFile returns the content of the regular file at a path. A file of more
// than limit bytes is not read: the error wraps [ErrTooLarge].
func (t Tree) ReadFile(name string, limit int64) ([]byte, error) {
	entry, err := t.Entry(name)
	if err != nil {
		return nil, err
	}
	if entry.IsDir() || entry.Mode == ModeSubmodule {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is not a regular file")}
	}
	data, err := t.ReadBlob(entry.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// ReadBlob returns the content of a blob of at most limit bytes; the error of
// a larger one wraps [ErrTooLarge].
func (t Tree) ReadBlob(id ObjectID, limit int64) ([]byte, error) {
	size, err := t.Size(id)
	if err != nil {
		return nil, unreadable(err)
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, size, limit)
	}
	r, err := t.Open(id)
	if err != nil {
		return nil, unreadable(err)
	}
	defer r.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("blob %s ends before its %d bytes: %w", id, size, err)
	}
	return data, nil
}

// maxLinks is how many symbolic links are followed to one file, as in Linux.
const maxLinks = 40

// follow finds what a path means once symbolic links are followed. A link
// never leads out of the repository: ".." stops at its root.
func (t Tree) follow(name string) (Entry, error) {
	if entry, plain, err := t.straight(strings.Trim(path.Clean("/"+name), "/")); plain {
		return entry, err
	}
	rest := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at, dir, links := Entry{Name: ".", Mode: ModeDir, ID: t.Root}, "/", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		full := path.Join(dir, part)
		entry, err := t.Entry(strings.TrimPrefix(full, "/"))
		if err != nil {
			return Entry{}, err
		}
		if entry.Mode != ModeSymlink {
			at, dir = entry, full
			continue
		}
		if links++; links > maxLinks {
			return Entry{}, &fs.PathError{Op: "find", Path: name, Err: errors.New("too many symbolic links")}
		}
		target, err := t.ReadBlob(entry.ID, 4096) // PATH_MAX
		if err != nil {
			return Entry{}, err
		}
		if strings.HasPrefix(string(target), "/") {
			dir = "/"
		}
		rest = append(strings.Split(string(target), "/"), rest...)
		if at, err = t.Entry(strings.TrimPrefix(dir, "/")); err != nil {
			return Entry{}, err
		}
	}
	return at, nil
}

// straight finds what lies at a clean path if no symbolic link is on the way:
// plain is false if there is one.
func (t Tree) straight(name string) (at Entry, plain bool, err error) {
	at = Entry{Name: ".", Mode: ModeDir, ID: t.Root}
	for rest := name; rest != ""; {
		part, below, _ := strings.Cut(rest, "/")
		rest = below
		var found bool
		if at.IsDir() {
			entries, err := t.Tree(at.ID)
			if err != nil {
				return Entry{}, true, unreadable(err)
			}
			at, found = find(entries, part)
		}
		if !found {
			missing := strings.TrimSuffix(name, "/"+rest)
			return Entry{}, true, &fs.PathError{Op: "find", Path: missing, Err: fs.ErrNotExist}
		}
		if at.Mode == ModeSymlink {
			return Entry{}, false, nil
		}
	}
	return at, true, nil
}
