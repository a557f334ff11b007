package layers

import (
	"errors"
	"io/fs"
	"testing"
)

// TestTreeFindsEveryEntry looks each name up in a tree whose names are close
// in Git's order.
func TestTreeFindsEveryEntry(t *testing.T) {
	o := newMemory()
	files := map[string]Entry{}
	names := []string{"a", "a-b", "a.b", "a0", "ab/x", "ab-c", "ab.c", "ab0", "foo/x", "foo-bar", "foo.bar", "z/z/z"}
	for _, name := range names {
		files[name] = Entry{Mode: ModeFile, ID: o.blob(name)}
	}
	tree := o.tree(files)
	for _, name := range append(names, "ab", "foo", "z", "z/z", ".", "./foo/../foo/x") {
		if _, err := tree.Entry(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"b", "a/x", "fo", "ab/y", "zz", "../a"} {
		if e, err := tree.Entry(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}
