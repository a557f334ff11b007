package layers

import (
	"context"
	"fmt"
	"math/rand"
	"path"
	"slices"
	"testing"
)

// TestFootprints makes contexts at random, each by one change to the one
// before, and holds that equal footprints mean equal filesets, whatever links,
// patterns and ignore files do. A change that is not asked for must leave the
// footprint as it is, or nothing would be gained.
func TestFootprints(t *testing.T) {
	ignores := [][]string{nil, {"*/c"}, {"*", "!a", "!b/c"}}
	follows := [][]string{
		nil, {"a"}, {"a/b"}, {"/a/./b/"}, {"a/*"}, {"*"}, {"*/b"}, {"a/b*/c"}, {"b/c", "a/b"},
		{"a/../b"}, {"!a"}, {"a/[b-c]"}, {`a\*`}, {`\a`}, {"a^"}, {" a"}, {"a/**"}, {"d/e"}, {"."},
	}
	random := rand.New(rand.NewSource(1))
	o := newMemory()
	files := map[string]Entry{}
	var trees []Tree
	for range 600 {
		mutate(random, o, files)
		trees = append(trees, o.tree(files))
	}
	seen := map[memo]*fileset{}
	for _, ignore := range ignores {
		for _, follow := range follows {
			filter := contextFilter{ignore: ignore, follow: follow}
			t.Run(fmt.Sprint(ignore, follow), func(t *testing.T) {
				known := len(seen)
				for _, tree := range trees {
					name, err := filter.footprint(tree)
					if err != nil {
						t.Fatal(err)
					}
					set, err := readFileset(context.Background(), tree, filter)
					if err != nil {
						t.Fatal(err)
					}
					if before := seen[name]; before != nil && !slices.Equal(before.files, set.files) {
						t.Fatalf("one footprint for\n%v\nand\n%v", before.files, set.files)
					}
					seen[name] = set
				}
				if plain := slices.Equal(follow, []string{"b/c", "a/b"}); plain && len(seen)-known > len(trees)/4 {
					t.Errorf("%d footprints of %d contexts: nothing is gained by them", len(seen)-known, len(trees))
				}
			})
		}
	}
}

// mutate puts a file, a link or a directory at a path, or takes it away.
func mutate(random *rand.Rand, o *memory, files map[string]Entry) {
	pick := func(names ...string) string { return names[random.Intn(len(names))] }
	name := pick("a", "a", "a", "b", "b", "c", "d", pick(" a", "a^", "!a"))
	for range random.Intn(3) {
		name = path.Join(name, pick("a", "b", "c", "bb", "e"))
	}
	for other := range files {
		if other == name || len(other) > len(name) && other[:len(name)+1] == name+"/" || len(name) > len(other) && name[:len(other)+1] == other+"/" {
			delete(files, other)
		}
	}
	switch random.Intn(8) {
	case 0:
	case 1:
		files[name] = Entry{Mode: ModeSymlink, ID: o.blob(pick("a", "../b", "/c", "b/c", "../../d", "nowhere"))}
	case 3:
		files[name] = Entry{Mode: ModeSubmodule, ID: gitID("commit", pick("1", "2"))}
	case 4:
		files[name] = Entry{Mode: ModeExecutable, ID: o.blob(pick("1", "2"))}
	default:
		files[name] = Entry{Mode: ModeFile, ID: o.blob(pick("1", "2", "3"))}
	}
}
