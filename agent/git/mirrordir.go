package git

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// makeDirs makes the directories of the mirror that are missing.
func (m *Mirror) makeDirs() error {
	for _, part := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags", keepRefs, "tmp"} {
		if err := os.MkdirAll(filepath.Join(m.dir, part), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// clean removes what a process left that died while it wrote: files that are
// not whole, packs without an index, and git's own locks. The mirror's lock is
// held, so nobody is writing.
func (m *Mirror) clean() error {
	stale, err := filepath.Glob(filepath.Join(string(m.temp), "*"))
	if err != nil {
		return err
	}
	for _, name := range []string{"HEAD.lock", "config.lock", "packed-refs.lock"} {
		stale = append(stale, filepath.Join(m.dir, name))
	}
	packs := filepath.Join(m.dir, "objects", "pack")
	files, err := os.ReadDir(packs)
	if err != nil {
		return err
	}
	for _, file := range files {
		name := filepath.Join(packs, file.Name())
		half, isPack := strings.CutSuffix(name, ".pack")
		other := half + ".idx"
		if !isPack {
			half, isPack = strings.CutSuffix(name, ".idx")
			other = half + ".pack"
		}
		if _, err := os.Stat(other); strings.HasPrefix(file.Name(), "tmp_") || isPack && errors.Is(err, fs.ErrNotExist) {
			stale = append(stale, name)
		}
	}
	for _, name := range stale {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

const (
	// maxPacks and maxKept are how many packs and commits a mirror has before it
	// is filled anew. Nothing is removed one by one: each push to a large remote
	// adds a pack, and so does each time that a local remote is packed anew, whose
	// old packs are kept alive here.
	maxPacks = 64
	maxKept  = 4096
	// keptBefore is how long what was there before stays readable, for those who
	// have begun to read.
	keptBefore = 24 * time.Hour
)

// before is where the objects lie that the mirror had before it was filled anew.
// They can be read, but count as missing where it is fetched: what is needed comes
// again, in one pack.
func (m *Mirror) before() string { return filepath.Join(m.dir, "before", "objects") }

// here finds an object that need not be fetched. The error wraps fs.ErrNotExist if
// there is none.
func (m *Mirror) here(id layers.ObjectID) (place, error) { return m.repo.db.findIn(id, 1) }

// tidy keeps the mirror from growing for ever. The mirror's lock is held.
func (m *Mirror) tidy() error {
	if info, err := os.Stat(filepath.Dir(m.before())); err == nil && time.Since(info.ModTime()) > keptBefore {
		if err := m.discard("before"); err != nil {
			return err
		}
	}
	if m.full {
		if err := m.renew(); err != nil {
			return err
		}
	}
	// Another process may have emptied it, or made it anew.
	objects, err := os.Stat(filepath.Join(m.dir, "objects"))
	if err == nil && !os.SameFile(objects, m.objects) {
		clear(m.known)
		m.objects = objects
	}
	return err
}

// crowded reports whether the mirror had better be filled again from nothing
// than go on to grow.
func (m *Mirror) crowded() bool {
	packs, _ := os.ReadDir(filepath.Join(m.dir, "objects", "pack"))
	kept, _ := os.ReadDir(filepath.Join(m.dir, keepRefs))
	return len(packs) > 2*maxPacks || len(kept) > maxKept // a pack is two files
}

// renew begins the mirror anew, and leaves readable what there is.
func (m *Mirror) renew() error {
	if err := m.discard("before"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(m.before()), 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(m.dir, "objects"), m.before()); err != nil {
		return err
	}
	return m.begin()
}

// empty removes all objects and refs. Files that are being read stay readable.
func (m *Mirror) empty() error {
	if err := m.discard("before", "objects"); err != nil {
		return err
	}
	return m.begin()
}

// begin makes what a mirror without objects has.
func (m *Mirror) begin() error {
	if err := m.discard("refs", "packed-refs"); err != nil {
		return err
	}
	m.full = false
	clear(m.known)
	if err := m.makeDirs(); err != nil {
		return err
	}
	return m.repo.db.forget()
}

// discard removes parts of the mirror, each at once for who reads it.
func (m *Mirror) discard(parts ...string) error {
	for _, part := range parts {
		gone, err := os.MkdirTemp(string(m.temp), "")
		if err == nil {
			err = os.Rename(filepath.Join(m.dir, part), filepath.Join(gone, part))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(gone); err != nil {
			return err
		}
	}
	return nil
}

// tempDir is where files are written before they get their names, on the same
// file system as those.
type tempDir string

func (d tempDir) create() (*os.File, error) { return os.CreateTemp(string(d), "") }

// writeFile writes a file so that it is seen whole or not at all.
func (d tempDir) writeFile(name, content string) error {
	temp, err := d.create()
	if err != nil {
		return err
	}
	_, err = temp.WriteString(content)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}
