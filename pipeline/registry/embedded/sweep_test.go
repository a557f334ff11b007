package embedded

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestSweep frees what the deleted image alone had, not what its parent and an
// index have, and takes pushes of the same again.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	must(r.Sweep(t.Context())) // with nothing in it
	parent := must(random.Image(50_000, 2))
	child := must(mutate.AppendLayers(parent, must(random.Layer(100_000, "application/vnd.oci.image.layer.v1.tar+gzip"))))
	index := must(random.Index(10_000, 1, 2))
	base, top, list := parse(t, r.Host()+"/lab/base:main"), parse(t, r.Host()+"/lab/top:main"), parse(t, r.Host()+"/lab/list:main")
	check(t, remote.Write(base, parent))
	check(t, remote.Write(top, child))
	check(t, remote.WriteIndex(list, index))
	whole := func() {
		t.Helper()
		check(t, validate.Image(must(remote.Image(base))))
		check(t, validate.Index(must(remote.Index(list))))
	}

	if freed := must(r.Sweep(t.Context())); freed != 0 {
		t.Errorf("freed %d bytes of what is needed", freed)
	}
	whole()
	check(t, validate.Image(must(remote.Image(top))))

	check(t, remote.Delete(top.Context().Digest(must(child.Digest()).String())))
	if freed := must(r.Sweep(t.Context())); freed < 100_000 || freed > 110_000 {
		t.Errorf("freed %d bytes", freed)
	}
	whole()
	layers := must(child.Layers())
	blob := must(remote.Layer(top.Context().Digest(must(layers[2].Digest()).String())))
	if _, err := blob.Compressed(); status(err) != http.StatusNotFound {
		t.Errorf("its blob: %v", err)
	}
	check(t, remote.Write(top, child))
	check(t, validate.Image(must(remote.Image(top))))
	whole()
}

// TestSweepBesideBrokenLinks holds that a link which a power cut left empty costs
// no other manifest its blobs.
func TestSweepBesideBrokenLinks(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	var images []v1.Image
	for i := range 8 {
		image := must(random.Image(1000, 1))
		check(t, remote.Write(parse(t, r.Host()+"/lab/base:"+string(rune('a'+i))), image))
		images = append(images, image)
	}
	revisions := filepath.Join(v2(r.data), "repositories", "lab", "base", "_manifests", "revisions", "sha256")
	first := must(os.ReadDir(revisions))[0].Name() // they are marked in this order
	check(t, os.Truncate(filepath.Join(revisions, first, "link"), 0))
	check(t, os.WriteFile(filepath.Join(revisions, first, "next-1"), nil, 0o600))
	must(r.Sweep(t.Context()))
	for _, image := range images {
		d := must(image.Digest())
		ref := parse(t, r.Host()+"/lab/base:x").Context().Digest(d.String())
		got, err := remote.Image(ref)
		if d.Hex == first {
			if status(err) != http.StatusNotFound {
				t.Errorf("the broken one: %v", err)
			}
			continue
		}
		check(t, err)
		check(t, validate.Image(got))
	}
	left, err := filepath.Glob(filepath.Join(revisions, first, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %s, %v", strings.Join(left, " "), err)
	}
}

// TestSweepAndWrites keeps writes off while it sweeps, and reads not.
func TestSweepAndWrites(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	ref := parse(t, r.Host()+"/lab/base:main")
	image := must(random.Image(1000, 1))
	check(t, remote.Write(ref, image))
	r.guard.writes.Lock() // as a sweep does
	written := make(chan error)
	go func() { written <- remote.Tag(ref.Context().Tag("other"), image) }()
	check(t, validate.Image(must(remote.Image(ref))))
	select {
	case err := <-written:
		t.Errorf("written beside a sweep: %v", err)
	default:
	}
	r.guard.writes.Unlock()
	check(t, <-written)
}
