package layers

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// The pointer files of Git LFS begin with this line. Those that are written today have
// 130 bytes or so, longer ones are not looked for.
const (
	lfsVersion = "version https://git-lfs.github.com/spec/v1\n"
	maxPointer = 200
)

// maxAttributes is how much of a .gitattributes file is looked at, in bytes.
const maxAttributes = 1 << 20

// lfs reports whether a .gitattributes file in the context directory, or above
// it, puts files into Git LFS.
func (p *pass) lfs(dir string) (bool, error) {
	for {
		found, err := p.putsIntoLFS(path.Join(dir, ".gitattributes"))
		if found || err != nil || dir == "." {
			return found, err
		}
		dir = path.Dir(dir)
	}
}

func (p *pass) putsIntoLFS(name string) (bool, error) {
	entry, err := p.tree.Entry(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && entry.Mode != ModeFile && entry.Mode != ModeExecutable {
		return false, nil // git follows no link to attributes
	}
	if err != nil {
		return false, err
	}
	text, err := p.tree.ReadBlob(entry.ID, maxAttributes)
	if errors.Is(err, ErrTooLarge) {
		return true, nil
	}
	return bytes.Contains(text, []byte("filter=lfs")), err
}

// pointers are the files that instructions reach and that are Git LFS pointers,
// by their path in the repository.
func (in *inputs) pointers(ctx context.Context, set *fileset) ([]string, error) {
	reached, err := in.reached(ctx, set)
	if err != nil {
		return nil, err
	}
	var pointers []string
	for _, name := range slices.Sorted(maps.Keys(reached)) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f := reached[name]
		if !fs.FileMode(f.mode).IsRegular() {
			continue
		}
		text, err := in.tree.ReadBlob(ObjectID(f.id), maxPointer)
		if errors.Is(err, ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(string(text), lfsVersion) {
			pointers = append(pointers, name)
		}
	}
	return pointers, nil
}

// notePointers tells of files whose content the repository does not hold.
func (l *PlannedLayer) notePointers(names []string) {
	const what = ": the image gets no more than that; commit the file itself, or fetch it in a RUN"
	switch n := len(names); {
	case n == 1:
		l.note("%s is a Git LFS pointer"+what, names[0])
	case n > 1:
		l.note("%s and %d more are Git LFS pointers"+what, names[0], n-1)
	}
}
