package layers

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// footprint names all of a context that can decide what is transferred from
// it: where two footprints are equal, so are the filesets. It is what lies at
// each of the paths that are asked for, as long as these can be followed by
// their names alone; otherwise it is the whole context.
func (f contextFilter) footprint(tree Tree) (memo, error) {
	h := newHash("paths")
	h.texts(f.ignore)
	h.texts(f.follow)
	for _, name := range f.follow {
		entry, plain, err := tree.asked(name)
		if err != nil {
			return memo{}, err
		}
		if !plain {
			return f.wholeFootprint(tree), nil
		}
		h.number(int64(entry.Mode)) // 0 where nothing lies
		h.text(string(entry.ID))
	}
	if len(f.follow) == 0 {
		return f.wholeFootprint(tree), nil
	}
	return h.sum(), nil
}

func (f contextFilter) wholeFootprint(tree Tree) memo {
	h := newHash("whole")
	h.texts(f.ignore)
	h.texts(f.follow)
	h.text(string(tree.Root))
	return h.sum()
}

// asked finds the smallest entry that holds all which a path of FollowPaths can
// bring. It is not plain if the way there may lead elsewhere: over a symbolic
// link, which fsutil follows here and nowhere else, or by a pattern for
// directories.
func (t Tree) asked(name string) (at Entry, plain bool, err error) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name == "." || name == "" || strings.HasPrefix(name, "..") || strings.ContainsAny(name, `\^!]`) || strings.TrimSpace(name) != name {
		return Entry{}, false, nil
	}
	const wildcards = "*?["
	dir, last := path.Split(name)
	if strings.ContainsAny(dir, wildcards) {
		return Entry{}, false, nil
	}
	if !strings.ContainsAny(last, wildcards) {
		return t.below(name)
	}
	at, plain, err = t.below(strings.TrimSuffix(dir, "/"))
	if err != nil || !plain || !at.IsDir() {
		return at, plain, err
	}
	entries, err := t.Tree(at.ID)
	if err != nil {
		return Entry{}, false, unreadable(err)
	}
	for _, entry := range entries {
		if entry.Mode == ModeSymlink {
			return Entry{}, false, nil
		}
	}
	return at, true, nil
}

// below is straight, with a zero entry for a path where nothing lies.
func (t Tree) below(name string) (at Entry, plain bool, err error) {
	at, plain, err = t.straight(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, plain, nil
	}
	return at, plain, err
}
