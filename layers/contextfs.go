package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/tonistiigi/fsutil/types"
)

// ContextTime is the modification time of every file in a build context, in
// seconds since 1970: 1980-01-01. It is never after SOURCE_DATE_EPOCH in a
// reproducible build, so rewriting leaves it alone, and never the commit's.
const ContextTime = 315532800

// maxDepth of directories in a build context.
const maxDepth = 256

// maxSeen bounds one walk, also where an ignore file leaves nothing of it: some
// kilobytes of trees that hold each other are a billion files.
const maxSeen = 2 * MaxContextFiles

// contextFS is a directory of a Git tree as fsutil sees it. Files belong to
// root, directories are 0755 and all times are [ContextTime], as a Git tree
// says nothing of these.
type contextFS struct {
	tree Tree // Root is the context directory
	// identify is for keys: instead of its size, which costs a look at the
	// blob, a file carries its object id in the place of a link name.
	identify bool
	// lasts is an error once nobody waits for what is read any more: fsutil
	// begins walks of its own without a context. Nil is for ever.
	lasts func() error
}

// Walk goes through the directory in fsutil's order, which is by plain names
// and not Git's.
func (c contextFS) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.TrimPrefix(path.Clean("/"+target), "/")
	if target == "" {
		return c.walkDir(ctx, "", c.tree.Root, fn, 0, new(int))
	}
	entry, err := c.tree.Entry(target)
	if err != nil {
		err = fn(target, nil, err)
	} else {
		err = c.visit(ctx, target, entry, fn, strings.Count(target, "/"), new(int))
	}
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

func (c contextFS) walkDir(ctx context.Context, dir string, id ObjectID, fn fs.WalkDirFunc, depth int, seen *int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: directories lie more than %d deep", dir, maxDepth)
	}
	entries, err := c.tree.Tree(id)
	if err != nil {
		return unreadable(err)
	}
	for _, entry := range byName(entries) {
		name := entry.Name
		if dir != "" {
			name = dir + "/" + name
		}
		err := c.visit(ctx, name, entry, fn, depth, seen)
		if errors.Is(err, fs.SkipDir) {
			if entry.IsDir() {
				continue
			}
			return nil // SkipDir on a file skips the rest of its directory
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c contextFS) visit(ctx context.Context, name string, entry Entry, fn fs.WalkDirFunc, depth int, seen *int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.lasts != nil {
		if err := c.lasts(); err != nil {
			return err
		}
	}
	if *seen++; *seen > maxSeen {
		return fmt.Errorf("the context has more than %d files and directories, those that are ignored included", maxSeen)
	}
	err := fn(name, &dirEntry{fs: c, path: name, Entry: entry}, nil)
	if errors.Is(err, syscall.ENOTDIR) {
		// A pattern that leads through a file matches nothing: fsutil's own
		// directories answer like this.
		return fs.SkipDir
	}
	if err != nil {
		return err
	}
	if entry.IsDir() {
		return c.walkDir(ctx, name, entry.ID, fn, depth+1, seen)
	}
	return nil
}

// Open reads a file.
func (c contextFS) Open(name string) (io.ReadCloser, error) {
	entry, err := c.tree.Entry(strings.TrimPrefix(path.Clean("/"+name), "/"))
	if err != nil {
		return nil, err
	}
	r, err := c.tree.Open(entry.ID)
	if err != nil {
		return nil, unreadable(err)
	}
	return r, nil
}

// byName sorts entries by plain name; Git has "foo-bar" before "foo/".
func byName(entries []Entry) []Entry {
	less := func(i, j int) bool { return entries[i].Name < entries[j].Name }
	if sort.SliceIsSorted(entries, less) {
		return entries
	}
	sorted := append([]Entry(nil), entries...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	return sorted
}

// dirEntry is one file of the walk; the Git entry goes along.
type dirEntry struct {
	Entry
	fs   contextFS
	path string
}

func (d *dirEntry) Name() string               { return d.Entry.Name }
func (d *dirEntry) Type() fs.FileMode          { return fileMode(d.Mode).Type() }
func (d *dirEntry) Info() (fs.FileInfo, error) { return d.fs.info(d.path, d.Entry) }

func fileMode(mode Mode) fs.FileMode {
	switch mode {
	case ModeDir, ModeSubmodule:
		return fs.ModeDir | 0o755
	case ModeSymlink:
		return fs.ModeSymlink | 0o777
	case ModeExecutable:
		return 0o755
	}
	return 0o644
}

// ErrNotHere says that a build's context has files which the commit does not.
var ErrNotHere = errors.New("its files are not in this repository, so they cannot be sent")

func (c contextFS) info(name string, entry Entry) (fs.FileInfo, error) {
	stat := &types.Stat{Path: name, Mode: uint32(fileMode(entry.Mode)), ModTime: ContextTime * 1e9}
	switch {
	case entry.Mode == ModeSymlink:
		link, err := c.tree.ReadBlob(entry.ID, 4096) // PATH_MAX
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", name, err)
		}
		stat.Linkname = string(link)
	case c.identify && !entry.IsDir():
		stat.Linkname = string(entry.ID)
	case entry.Mode == ModeSubmodule:
		return nil, submoduleError(name)
	case !entry.IsDir():
		size, err := c.tree.Size(entry.ID)
		if err != nil {
			return nil, fmt.Errorf("size of %s: %w", name, unreadable(err))
		}
		stat.Size = size
	}
	return fileInfo{stat}, nil
}

// fileInfo shows a Stat as fs.FileInfo, the way fsutil asks for it.
type fileInfo struct{ *types.Stat }

func (i fileInfo) Name() string       { return path.Base(i.Path) }
func (i fileInfo) Size() int64        { return i.Stat.Size }
func (i fileInfo) Mode() fs.FileMode  { return fs.FileMode(i.Stat.Mode) }
func (i fileInfo) ModTime() time.Time { return time.Unix(ContextTime, 0) }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i fileInfo) Sys() any           { return i.Stat }
