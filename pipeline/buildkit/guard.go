package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// guard watches a build context while BuildKit reads it. BuildKit makes an
// empty file of one that does not open, a truncated one of one that ends
// early, drops what it is told does not exist, and waits for ever after an
// error in the middle (fsutil's sender and filter). So the first fault ends
// the build.
type guard struct {
	fsutil.FS
	stop func(error) // told the first fault, once

	mu    sync.Mutex
	sizes map[string]int64 // of the regular files listed so far
	fault error
}

func newGuard(files fsutil.FS, stop func(error)) *guard {
	return &guard{FS: files, stop: stop, sizes: map[string]int64{}}
}

// Fault returns the first fault.
func (g *guard) Fault() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

// blame records a fault and returns it.
func (g *guard) blame(err error) error {
	g.mu.Lock()
	first := g.fault == nil
	if first {
		g.fault = err
	}
	g.mu.Unlock()
	if first {
		g.stop(err)
	}
	return err
}

// Walk passes on what the files' own Walk lists.
func (g *guard) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	var theirs error // what the caller's own function returned
	err := g.FS.Walk(ctx, target, func(name string, entry fs.DirEntry, err error) error {
		// That the target itself is not there is an answer: links are
		// followed like that.
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && path.Clean("/"+name) == path.Clean("/"+target)) {
			g.blame(fmt.Errorf("list %s: %w", name, err))
		}
		if entry != nil {
			entry = guardedEntry{entry, name, g}
		}
		theirs = fn(name, entry, err)
		return theirs
	})
	if err != nil && !(theirs != nil && errors.Is(err, theirs)) && ctx.Err() == nil {
		g.blame(fmt.Errorf("list files: %w", err))
	}
	return err
}

// Open opens a file that was listed.
func (g *guard) Open(name string) (io.ReadCloser, error) {
	g.mu.Lock()
	size, listed := g.sizes[name]
	g.mu.Unlock()
	if !listed {
		return nil, g.blame(fmt.Errorf("open %s: it was not listed as a file", name))
	}
	file, err := g.FS.Open(name)
	if err != nil {
		return nil, g.blame(fmt.Errorf("open %s: %w", name, err))
	}
	return &guardedFile{ReadCloser: file, guard: g, name: name, left: size}, nil
}

// guardedEntry remembers the size that a file is listed with.
type guardedEntry struct {
	fs.DirEntry
	path  string
	guard *guard
}

func (e guardedEntry) Info() (fs.FileInfo, error) {
	info, err := e.DirEntry.Info()
	if err != nil {
		return nil, e.guard.blame(fmt.Errorf("list %s: %w", e.path, err))
	}
	// fsutil asks for the file by the path in its Stat.
	if stat, ok := info.Sys().(*types.Stat); ok && info.Mode().IsRegular() {
		e.guard.mu.Lock()
		e.guard.sizes[stat.Path] = stat.Size
		e.guard.mu.Unlock()
	}
	return info, nil
}

// guardedFile counts a file's bytes.
type guardedFile struct {
	io.ReadCloser
	guard *guard
	name  string
	left  int64 // bytes to come
}

func (f *guardedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.left -= int64(n)
	switch {
	case f.left < 0:
		return 0, f.guard.blame(fmt.Errorf("read %s: it is longer than it was listed", f.name))
	case err == io.EOF && f.left > 0:
		return n, f.guard.blame(fmt.Errorf("read %s: it ends %d bytes early", f.name, f.left))
	case err != nil && err != io.EOF:
		return n, f.guard.blame(fmt.Errorf("read %s: %w", f.name, err))
	}
	return n, err
}
