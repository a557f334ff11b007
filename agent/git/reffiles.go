package git

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// settled is how old a file's time must be for its content to be believed
// unchanged with it: file systems' clocks tick as rarely as every two seconds.
const settled = 3 * time.Second

// refFiles reads the refs of a repository from its files. What has not been
// touched since the last time is not read again, so a look that finds nothing
// new costs some microseconds. It is safe for use by several goroutines.
type refFiles struct {
	dir string // the common directory

	mu     sync.Mutex
	packed packedRefs
	dirs   map[string]refDir
}

// stamp tells whether a file or directory was touched.
type stamp struct {
	changed time.Time
	size    int64
	inode   fs.FileInfo
}

func (s stamp) same(info fs.FileInfo) bool {
	return s.inode != nil && os.SameFile(s.inode, info) && s.changed.Equal(info.ModTime()) && s.size == info.Size()
}

// stampOf is the zero stamp, which nothing is the same as, for what may have
// been touched in the same tick.
func stampOf(info fs.FileInfo, now time.Time) stamp {
	if now.Sub(info.ModTime()) < settled {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size(), info}
}

// refValue is what a ref points at, and what a packed tag leads to.
type refValue struct {
	id     layers.ObjectID
	peeled layers.ObjectID
}

type refDir struct {
	stamp stamp
	refs  map[string]refValue
	dirs  []string
}

type packedRefs struct {
	stamp stamp
	refs  map[string]refValue
}

// read returns all refs below refs/heads and refs/tags but symbolic ones.
func (r *refFiles) read() (map[string]refValue, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Loose first: git pack-refs writes the packed ones before it removes the
	// loose ones.
	if _, err := os.Stat(filepath.Join(r.dir, "refs")); err != nil {
		return nil, err // a repository that is gone has not lost its branches
	}
	fresh, refs := map[string]refDir{}, map[string]refValue{}
	for _, top := range []string{"refs/heads", "refs/tags"} {
		if err := r.readDir(top, fresh, refs, 0); err != nil {
			return nil, err
		}
	}
	r.dirs = fresh
	if err := r.readPacked(); err != nil {
		return nil, err
	}
	for name, value := range r.packed.refs {
		if _, ok := refs[name]; !ok && tracked(name) {
			refs[name] = value
		}
	}
	for name, value := range refs {
		if value.id == "" {
			delete(refs, name) // symbolic
		}
	}
	return refs, nil
}

func (r *refFiles) readDir(name string, fresh map[string]refDir, refs map[string]refValue, depth int) error {
	if depth > 100 {
		return fmt.Errorf("read refs: %s: directories lie too deep", name)
	}
	full, now := filepath.Join(r.dir, name), time.Now()
	info, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dir, ok := r.dirs[name]
	if !ok || !dir.stamp.same(info) {
		if dir, err = r.listDir(name); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		dir.stamp = stampOf(info, now)
	}
	fresh[name] = dir
	for ref, value := range dir.refs {
		refs[ref] = value
	}
	for _, sub := range dir.dirs {
		if err := r.readDir(sub, fresh, refs, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (r *refFiles) listDir(name string) (refDir, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, name))
	if err != nil {
		return refDir{}, err
	}
	dir := refDir{refs: map[string]refValue{}}
	for _, entry := range entries {
		ref := name + "/" + entry.Name()
		switch {
		case entry.IsDir():
			dir.dirs = append(dir.dirs, ref)
		case strings.HasSuffix(ref, ".lock"): // git is writing
		default:
			id, err := r.readLoose(ref)
			if errors.Is(err, fs.ErrNotExist) {
				continue // packed or deleted meanwhile
			} else if err != nil {
				return refDir{}, err
			}
			dir.refs[ref] = refValue{id: id}
		}
	}
	return dir, nil
}

// readLoose returns what a loose ref points at, or nothing for a symbolic one.
// A broken ref is an error, lest it be taken for a deleted one.
func (r *refFiles) readLoose(ref string) (layers.ObjectID, error) {
	text, err := readPath(filepath.Join(r.dir, ref))
	if err != nil || strings.HasPrefix(text, "ref:") {
		return "", err
	}
	id, err := layers.ParseObjectID(strings.TrimRight(text, " \t"))
	if err != nil || len(id) != idSize {
		return "", fmt.Errorf("read ref %s: %w: it holds %.60q", ref, errDamaged, text)
	}
	return id, nil
}

func (r *refFiles) readPacked() error {
	name, now := filepath.Join(r.dir, "packed-refs"), time.Now()
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		r.packed = packedRefs{}
		return nil
	} else if err != nil {
		return err
	}
	if r.packed.stamp.same(info) {
		return nil
	}
	if info.Size() > maxAdvertised {
		return fmt.Errorf("read %s: it has %d bytes, at most %d are read", name, info.Size(), maxAdvertised)
	}
	file, err := openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxAdvertised))
	if err != nil {
		return err
	}
	refs, err := parsePackedRefs(data)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	r.packed = packedRefs{stampOf(info, now), refs}
	return nil
}

// parsePackedRefs reads the format that git's refs/packed-backend.c describes:
// "ID NAME" lines, each perhaps followed by "^PEELED".
func parsePackedRefs(data []byte) (map[string]refValue, error) {
	refs := make(map[string]refValue, len(data)/64)
	last := ""
	for number := 1; len(data) > 0; number++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			continue
		}
		text, peel := line, line[0] == '^'
		if peel {
			text = line[1:]
		}
		var id [idSize]byte
		if len(text) < 2*idSize {
			return nil, fmt.Errorf("%w: line %d is cut off", errDamaged, number)
		}
		if _, err := hex.Decode(id[:], text[:2*idSize]); err != nil {
			return nil, fmt.Errorf("%w: line %d has no object id", errDamaged, number)
		}
		if peel {
			refs[last] = refValue{refs[last].id, layers.ObjectID(id[:])}
			continue
		}
		if len(text) < 2*idSize+2 || text[2*idSize] != ' ' {
			return nil, fmt.Errorf("%w: line %d has no ref name", errDamaged, number)
		}
		last = string(text[2*idSize+1:])
		if refs[last] = (refValue{id: layers.ObjectID(id[:])}); len(refs) > maxRefs {
			return nil, errTooManyRefs
		}
	}
	delete(refs, "")
	return refs, nil
}

// maxAdvertised bounds a list of refs in bytes, be it a file or a remote's
// answer: 1,000,000 refs with names of 80 bytes.
const maxAdvertised = 128 << 20
