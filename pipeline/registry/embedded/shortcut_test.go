package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// TestShortcut asks the client and the shortcut the same questions, and lets
// each see what the other has tagged.
func TestShortcut(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	over, err := registry.New(registry.Options{Keychain: r})
	check(t, err)
	ways := map[string]pipeline.Registry{"client": over, "shortcut": r.Shortcut(over)}

	lab := r.Host() + "/lab/base"
	image, lost := must(random.Image(64, 1)), must(random.Image(64, 1))
	there, gone := digest.Digest(must(image.Digest()).String()), digest.Digest(must(lost.Digest()).String())
	check(t, remote.Write(parse(t, lab+":main"), image))
	check(t, remote.Write(parse(t, lab+":lost"), lost))
	check(t, os.Remove(filepath.Join(v2(r.data), "repositories/lab/base/_manifests/revisions/sha256", gone.Encoded(), "link")))

	for name, way := range ways {
		for ref, want := range map[string]digest.Digest{
			"main": there, there.String(): there,
			"none": "", gone.String(): "", "lost": "", // a tag may outlive its manifest
		} {
			d, ok, err := way.Digest(t.Context(), lab, ref)
			if err != nil || ok != (want != "") || ok && d != want {
				t.Errorf("%s: %s is %s, %v, %v", name, ref, d, ok, err)
			}
		}
		if _, ok, err := way.Digest(t.Context(), r.Host()+"/no/such", "main"); ok || err != nil {
			t.Errorf("%s: a repository that is not there: %v, %v", name, ok, err)
		}
		for _, ref := range []string{"../main", "", "a/b", "sha256:abc", strings.Repeat("x", 129), "sha512:" + strings.Repeat("0", 128)} {
			if _, _, err := way.Digest(t.Context(), lab, ref); err == nil {
				t.Errorf("%s: looked up %q", name, ref)
			}
			if err := way.Tag(t.Context(), lab, there, lab, ref); err == nil {
				t.Errorf("%s: tagged as %q", name, ref)
			}
		}
		for _, repository := range []string{r.Host(), r.Host() + "/../etc", r.Host() + "/Lab", "lab/base"} {
			if _, _, err := way.Digest(t.Context(), repository, "main"); err == nil {
				t.Errorf("%s: looked in %q", name, repository)
			}
		}
		if err := way.Tag(t.Context(), lab, gone, lab, "again"); err == nil {
			t.Errorf("%s: tagged a manifest that is not there", name)
		}
		check(t, way.Tag(t.Context(), lab, there, lab, "by-"+name))
		check(t, way.Tag(t.Context(), lab, there, lab, "by-"+name)) // once more is no error
		check(t, way.Tag(t.Context(), lab, there, r.Host()+"/lab/copy", "by-"+name))
	}
	for name := range ways {
		for _, way := range ways {
			for _, repository := range []string{lab, r.Host() + "/lab/copy"} {
				if d, ok, err := way.Digest(t.Context(), repository, "by-"+name); d != there || !ok || err != nil {
					t.Errorf("%s:by-%s is %s, %v, %v", repository, name, d, ok, err)
				}
			}
		}
	}
	if got := must(remote.List(parse(t, lab+":main").Context())); len(got) != 4 {
		t.Errorf("tags are %v", got)
	}
	moved := must(random.Image(64, 1))
	check(t, remote.Write(parse(t, lab+":next"), moved))
	check(t, ways["shortcut"].Tag(t.Context(), lab, digest.Digest(must(moved.Digest()).String()), lab, "main"))
	if got := must(remote.Head(parse(t, lab+":main"))); got.Digest != must(moved.Digest()) {
		t.Errorf("the moved tag is at %s", got.Digest)
	}
}

// TestShortcutWaitsForSweep makes sure that nothing is tagged while a sweep
// decides what goes.
func TestShortcutWaitsForSweep(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	over, err := registry.New(registry.Options{Keychain: r})
	check(t, err)
	image := must(random.Image(64, 1))
	lab := r.Host() + "/lab/base"
	check(t, remote.Write(parse(t, lab+":main"), image))
	r.guard.writes.Lock()
	done := make(chan error)
	go func() {
		done <- r.Shortcut(over).Tag(t.Context(), lab, digest.Digest(must(image.Digest()).String()), lab, "next")
	}()
	if _, ok, err := over.Digest(t.Context(), lab, "next"); ok || err != nil {
		t.Errorf("tagged while a sweep is at work: %v, %v", ok, err)
	}
	r.guard.writes.Unlock()
	check(t, <-done)
}
