package scaffold

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// memory is an object database in memory.
type memory struct {
	trees map[layers.ObjectID][]layers.Entry
	blobs map[layers.ObjectID][]byte
}

func (m *memory) Tree(id layers.ObjectID) ([]layers.Entry, error) {
	entries, ok := m.trees[id]
	if !ok {
		return nil, fmt.Errorf("tree %s: %w", id, fs.ErrNotExist)
	}
	return entries, nil
}

func (m *memory) Size(id layers.ObjectID) (int64, error) { return int64(len(m.blobs[id])), nil }

func (m *memory) Open(id layers.ObjectID) (io.ReadCloser, error) {
	data, ok := m.blobs[id]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", id, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// treeOf makes a tree of files by path. A name that ends in "@" is a symbolic
// link to its content.
func treeOf(files map[string]string) layers.Tree {
	m := &memory{trees: map[layers.ObjectID][]layers.Entry{}, blobs: map[layers.ObjectID][]byte{}}
	dirs := map[string]map[string]layers.Entry{"": {}}
	for name, data := range files {
		mode := layers.ModeFile
		if link, ok := strings.CutSuffix(name, "@"); ok {
			name, mode, data = link, layers.ModeSymlink, strings.TrimSpace(data)
		}
		dir := ""
		parts := strings.Split(name, "/")
		for _, part := range parts[:len(parts)-1] {
			sub := path.Join(dir, part)
			if dirs[sub] == nil {
				dirs[sub] = map[string]layers.Entry{}
			}
			dirs[dir][part] = layers.Entry{Name: part, Mode: layers.ModeDir}
			dir = sub
		}
		id := objectID("blob", data)
		m.blobs[id] = []byte(data)
		dirs[dir][parts[len(parts)-1]] = layers.Entry{Name: parts[len(parts)-1], Mode: mode, ID: id}
	}
	return layers.Tree{Objects: m, Root: m.dir(dirs, "")}
}

func (m *memory) dir(dirs map[string]map[string]layers.Entry, name string) layers.ObjectID {
	var entries []layers.Entry
	for _, e := range dirs[name] {
		if e.IsDir() {
			e.ID = m.dir(dirs, path.Join(name, e.Name))
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return gitName(entries[i]) < gitName(entries[j]) })
	id := objectID("tree", fmt.Sprintf("%q %v", name, entries))
	m.trees[id] = entries
	return id
}

// gitName is what Git sorts by.
func gitName(e layers.Entry) string {
	if e.IsDir() {
		return e.Name + "/"
	}
	return e.Name
}

func objectID(kind, data string) layers.ObjectID {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(data), data))
	return layers.ObjectID(sum[:])
}
