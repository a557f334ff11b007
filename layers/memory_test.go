package layers

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// memory is an object database as Git would make it, in memory.
type memory struct {
	trees map[ObjectID][]Entry
	blobs map[ObjectID][]byte
}

func newMemory() *memory {
	return &memory{trees: map[ObjectID][]Entry{}, blobs: map[ObjectID][]byte{}}
}

func (m *memory) Tree(id ObjectID) ([]Entry, error) {
	entries, ok := m.trees[id]
	if !ok {
		return nil, fmt.Errorf("tree %s: %w", id, fs.ErrNotExist)
	}
	return entries, nil
}

func (m *memory) Size(id ObjectID) (int64, error) {
	data, ok := m.blobs[id]
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", id, fs.ErrNotExist)
	}
	return int64(len(data)), nil
}

func (m *memory) Open(id ObjectID) (io.ReadCloser, error) {
	data, ok := m.blobs[id]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", id, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (m *memory) blob(data string) ObjectID {
	id := gitID("blob", data)
	m.blobs[id] = []byte(data)
	return id
}

func gitID(kind, data string) ObjectID {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(data), data))
	return ObjectID(sum[:])
}

// tree writes files, keyed by path, as Git trees.
func (m *memory) tree(files map[string]Entry) Tree {
	dirs := map[string]map[string]Entry{"": {}}
	for name, entry := range files {
		dir := ""
		parts := strings.Split(name, "/")
		for _, part := range parts[:len(parts)-1] {
			sub := path.Join(dir, part)
			if dirs[sub] == nil {
				dirs[sub] = map[string]Entry{}
			}
			dirs[dir][part] = Entry{Name: part, Mode: ModeDir}
			dir = sub
		}
		entry.Name = parts[len(parts)-1]
		dirs[dir][entry.Name] = entry
	}
	return Tree{Objects: m, Root: m.dir(dirs, "")}
}

func (m *memory) dir(dirs map[string]map[string]Entry, name string) ObjectID {
	var entries []Entry
	for _, e := range dirs[name] {
		if e.IsDir() {
			e.ID = m.dir(dirs, path.Join(name, e.Name))
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return gitName(entries[i]) < gitName(entries[j]) })
	var raw strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&raw, "%o %s\x00%s", e.Mode, e.Name, string(e.ID))
	}
	id := gitID("tree", raw.String())
	m.trees[id] = entries
	return id
}

func gitName(e Entry) string {
	if e.IsDir() {
		return e.Name + "/"
	}
	return e.Name
}
