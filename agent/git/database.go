package git

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// baseCacheBytes bounds the objects that are kept because deltas may
	// stand on them.
	baseCacheBytes = 32 << 20
	// maxAlternates bounds the object directories that borrow from each other.
	maxAlternates = 64
)

// database is the objects of one or more object directories, packed or loose.
// What others write into them, or pack anew, is found. It is safe for use by
// several goroutines.
type database struct {
	dirs  []string
	bases *lru[packPlace, object]
	packs atomic.Pointer[[]*pack]
	last  atomic.Pointer[pack] // where the last object was

	mu     sync.Mutex // for rescan
	broken error      // of packs that were left out
}

// openDatabase reads the directories in their order, each followed by those it
// borrows from.
func openDatabase(dirs ...string) (*database, error) {
	d := &database{bases: newLRU[packPlace, object](baseCacheBytes)}
	for _, dir := range dirs {
		if err := d.add(dir, 0); err != nil {
			return nil, err
		}
	}
	d.packs.Store(&[]*pack{})
	return d, d.rescan()
}

// add takes a directory and its alternates, as objects/info/alternates names
// them (git-scm.com/docs/gitrepository-layout).
func (d *database) add(dir string, depth int) error {
	dir = filepath.Clean(dir)
	if slices.Contains(d.dirs, dir) {
		return nil
	}
	if depth > 5 || len(d.dirs) == maxAlternates { // git's own limit of depth
		return fmt.Errorf("open %s: too many alternate object directories", dir)
	}
	d.dirs = append(d.dirs, dir)
	file, err := openFile(filepath.Join(dir, "info", "alternates"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if !filepath.IsAbs(line) {
			line = filepath.Join(dir, line)
		}
		if err := d.add(line, depth+1); err != nil {
			return err
		}
	}
	return lines.Err()
}

// rescan looks which packs there are. The list stays the very same one where
// that has not changed, so that whoever searched a list can tell whether there
// is another to search: a second reader's rescan may have put it there.
func (d *database) rescan() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := false
	had := map[string]*pack{}
	for _, p := range *d.packs.Load() {
		had[p.name] = p
	}
	var packs []*pack
	d.broken = nil
	for n, dir := range d.dirs {
		files, err := os.ReadDir(filepath.Join(dir, "pack"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, file := range files {
			base, isIndex := strings.CutSuffix(file.Name(), ".idx")
			if !isIndex || !strings.HasPrefix(base, "pack-") {
				continue
			}
			name := filepath.Join(dir, "pack", base+".pack")
			if p := had[name]; p != nil {
				packs = append(packs, p)
				continue
			}
			index, err := openPackIndex(filepath.Join(dir, "pack", file.Name()))
			if errors.Is(err, errDamaged) {
				d.broken = errors.Join(d.broken, err)
			} else if err == nil {
				changed = true
				packs = append(packs, &pack{name: name, dir: n, index: index, find: index.find, bases: d.bases})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if !changed && len(packs) == len(had) {
		return nil
	}
	// Packs that went are not closed: somebody may be reading from them, and
	// their files close when nobody does.
	d.packs.Store(&packs)
	return nil
}

// place is where an object lies: in a pack, or in a file of its own.
type place struct {
	pack   *pack
	offset int64
	loose  string
}

// find looks an object up. The error wraps fs.ErrNotExist if it is nowhere.
func (d *database) find(id layers.ObjectID) (place, error) { return d.findIn(id, len(d.dirs)) }

// findIn is find in the first few directories.
func (d *database) findIn(id layers.ObjectID, dirs int) (place, error) {
	if len(id) != idSize {
		return place{}, fmt.Errorf("find object %s: its id has %d bytes, not %d", id, len(id), idSize)
	}
	for {
		if last := d.last.Load(); last != nil && last.dir < dirs {
			if offset, ok, err := last.find(id); err == nil && ok {
				return place{pack: last, offset: offset}, nil
			}
		}
		packs := d.packs.Load()
		for _, p := range *packs {
			if p.dir >= dirs {
				continue
			}
			offset, ok, err := p.find(id)
			if err != nil {
				return place{}, err
			}
			if ok {
				d.last.Store(p)
				return place{pack: p, offset: offset}, nil
			}
		}
		for _, dir := range d.dirs[:dirs] {
			name := loosePath(dir, id)
			if _, err := os.Lstat(name); err == nil {
				return place{loose: name}, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return place{}, err
			}
		}
		if err := d.rescan(); err != nil {
			return place{}, err
		}
		if d.packs.Load() == packs {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.broken != nil {
				return place{}, fmt.Errorf("find object %s: %w", id, d.broken)
			}
			return place{}, fmt.Errorf("find object %s: %w", id, fs.ErrNotExist)
		}
	}
}

// at finds an object and does something where it lies; if git moved it
// meanwhile, once more.
func at[T any](d *database, id layers.ObjectID, do func(place) (T, error)) (T, error) {
	for try := 0; ; try++ {
		where, err := d.find(id)
		if err != nil {
			var none T
			return none, err
		}
		found, err := do(where)
		if try == 2 || !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
		d.last.Store(nil)
		if err := d.rescan(); err != nil {
			return found, err
		}
	}
}

// read returns an object of at most limit bytes.
func (d *database) read(id layers.ObjectID, limit int64) (object, error) {
	return at(d, id, func(where place) (object, error) {
		if where.pack != nil {
			return where.pack.read(where.offset, limit)
		}
		return readLoose(where.loose, limit)
	})
}

// readAs is read for one kind of object.
func (d *database) readAs(kind plumbing.ObjectType, id layers.ObjectID, limit int64) ([]byte, error) {
	o, err := d.read(id, limit)
	if err != nil {
		return nil, err
	}
	if o.kind != kind {
		return nil, fmt.Errorf("read %s: it is a %s, not a %s", id, o.kind, kind)
	}
	return o.data, nil
}

// stated is what the head of an object says of it.
type stated struct {
	kind plumbing.ObjectType
	size int64
}

func (d *database) stat(id layers.ObjectID) (stated, error) {
	return at(d, id, func(where place) (stated, error) {
		if where.pack != nil {
			kind, size, err := where.pack.size(where.offset)
			return stated{kind, size}, err
		}
		o, err := openLoose(where.loose)
		if err != nil {
			return stated{}, err
		}
		defer o.close()
		return stated{o.kind, o.size}, nil
	})
}

// forget drops all that is known, when the directories were emptied.
func (d *database) forget() error {
	d.mu.Lock()
	d.last.Store(nil)
	d.packs.Store(&[]*pack{})
	d.mu.Unlock()
	return d.rescan()
}
