package layers

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
)

// TestSelections holds that a selection takes from a fileset what a look at
// each file would take.
func TestSelections(t *testing.T) {
	set := &fileset{}
	for _, a := range []string{"a", "a-", "a.txt", "ab", "b", "B", "é"} {
		set.files = append(set.files, file{path: a, id: a})
		for _, b := range []string{"a", "a-b", "b.py", "[x]", "z"} {
			set.files = append(set.files, file{path: a + "/" + b}, file{path: a + "/" + b + "/c.py"})
		}
	}
	sort.Slice(set.files, func(i, j int) bool { return set.files[i].path < set.files[j].path })
	sources := []string{"", "/", "a", "/a/", "a/b.py", "a/b", "ab", "b/*.py", "*", "?", "*/a", "a*/z", "[ab]/b.py", "a/[x]", "a/[", "é/z", "nowhere", "zz"}
	for _, source := range sources {
		for _, wildcard := range []bool{false, true} {
			s := selection{source: source, wildcard: wildcard}
			t.Run(fmt.Sprintf("%s %v", source, wildcard), func(t *testing.T) {
				var want []file
				for _, f := range set.files {
					_, ok, err := s.below(strings.Trim(source, "/"), f.path)
					if err != nil {
						want = set.files
						break
					}
					if ok {
						want = append(want, f)
					}
				}
				if got, err := s.of(context.Background(), set); err != nil || !slices.Equal(got, want) {
					t.Errorf("got %v\nwant %v", got, want)
				}
			})
		}
	}
}
