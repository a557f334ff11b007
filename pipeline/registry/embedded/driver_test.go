package embedded

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestLinkLostInAPowerCut empties the files that a tag's links are, as a file
// system may leave what it had not written: the tag is not there then, and can
// be put again.
func TestLinkLostInAPowerCut(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	image := must(random.Image(64, 1))
	kept, cut := parse(t, r.Host()+"/lab/base:kept"), parse(t, r.Host()+"/lab/base:cut")
	check(t, remote.Write(kept, image))
	check(t, remote.Tag(cut.Context().Tag("cut"), image))

	links := must(filepath.Glob(filepath.Join(dir, "data/docker/registry/v2/repositories/lab/base/_manifests/tags/cut/*/link")))
	if len(links) != 1 {
		t.Fatalf("the tag's link is in %q", links)
	}
	check(t, os.Truncate(links[0], 0))
	if _, err := remote.Head(cut); status(err) != http.StatusNotFound {
		t.Fatalf("a tag whose link is empty: %v", err)
	}
	if _, err := remote.Head(kept); err != nil {
		t.Fatal(err)
	}
	check(t, remote.Tag(cut.Context().Tag("cut"), image))
	if got, want := must(remote.Head(cut)).Digest, must(image.Digest()); got != want {
		t.Fatalf("put again the tag is %s, want %s", got, want)
	}
}

// TestLinkThatStands sees that to put a tag where it is writes nothing, and to
// move it leaves nothing but the link.
func TestLinkThatStands(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	tag := parse(t, r.Host()+"/lab/base:main")
	one, two := must(random.Image(64, 1)), must(random.Image(64, 1))
	current := filepath.Join(dir, "data/docker/registry/v2/repositories/lab/base/_manifests/tags/main/current")
	file := func() os.FileInfo { return must(os.Stat(filepath.Join(current, "link"))) }

	check(t, remote.Write(tag, one))
	first := file()
	check(t, remote.Write(tag, one))
	if !os.SameFile(first, file()) {
		t.Error("the link was written again")
	}
	check(t, remote.Write(tag, two))
	if os.SameFile(first, file()) {
		t.Error("the link was not replaced as a whole")
	}
	if left := must(os.ReadDir(current)); len(left) != 1 {
		t.Errorf("beside the link there is %v", left)
	}
}
