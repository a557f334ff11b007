package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline/registry/embedded"
)

// Each of these holds for every registry.
func TestContract(t *testing.T) {
	registries := map[string]func(t testing.TB) string{
		"embedded": startEmbedded,
		"go-containerregistry": func(t testing.TB) string {
			server := httptest.NewServer(inprocess.New(inprocess.Logger(quiet())))
			t.Cleanup(server.Close)
			return strings.TrimPrefix(server.URL, "http://")
		},
	}
	cases := map[string]func(t *testing.T, host string, c *Client){
		"Digest":          testDigest,
		"Inspect":         testInspect,
		"InspectIndex":    testInspectIndex,
		"Tag":             testTag,
		"TagOnce":         testTagOnce,
		"CopyWithinOne":   testCopyWithinOne,
		"CopyIndex":       testCopyIndex,
		"DeleteTag":       testDeleteTag,
		"DeleteManifest":  testDeleteManifest,
		"Resolve":         testResolve,
		"Open":            testOpen,
		"NamesAreChecked": testNamesAreChecked,
	}
	for name, start := range registries {
		t.Run(name, func(t *testing.T) {
			host := start(t)
			for name, test := range cases {
				t.Run(name, func(t *testing.T) { test(t, host, client(t, Options{})) })
			}
		})
	}
}

func testDigest(t *testing.T, host string, c *Client) {
	want := push(t, host+"/digest/a:main", ociImage(t, 1))
	for _, ref := range []string{"main", want.String()} {
		if d, ok, err := c.Digest(t.Context(), host+"/digest/a", ref); err != nil || !ok || d != want {
			t.Errorf("%s is %s, %v, %v; want %s", ref, d, ok, err, want)
		}
	}
	for _, absent := range []struct{ repository, ref string }{
		{"/digest/a", "other"},
		{"/digest/a", digest.FromString("other").String()},
		{"/digest/none", "main"},
	} {
		if d, ok, err := c.Digest(t.Context(), host+absent.repository, absent.ref); err != nil || ok || d != "" {
			t.Errorf("%v is %q, %v, %v; it is not there", absent, d, ok, err)
		}
	}
}

func testInspect(t *testing.T, host string, c *Client) {
	image := ociImage(t, 3)
	d := push(t, host+"/inspect/a:main", image)
	config, blobs, err := c.Inspect(t.Context(), host+"/inspect/a", d)
	if err != nil {
		t.Fatal(err)
	}
	if want := must(image.RawConfigFile()); !bytes.Equal(config, want) {
		t.Errorf("the configuration is %s, want %s", config, want)
	}
	for i, layer := range must(image.Layers()) {
		blob := blobs[i]
		if blob.Digest.String() != must(layer.Digest()).String() || blob.DiffID.String() != must(layer.DiffID()).String() ||
			blob.Size != must(layer.Size()) || blob.MediaType != string(types.OCILayer) || blob.Own {
			t.Errorf("blob %d is %+v", i, blob)
		}
	}
	if len(blobs) != 3 {
		t.Errorf("%d blobs", len(blobs))
	}
	if _, _, err := c.Inspect(t.Context(), host+"/inspect/a", digest.FromString("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("inspect what is not there: %v", err)
	}
}

func testInspectIndex(t *testing.T, host string, c *Client) {
	image, index := ociIndex(t)
	ref := tag(t, host+"/inspect/index:main")
	check(t, remote.WriteIndex(ref, index))
	config, blobs, err := c.Inspect(t.Context(), host+"/inspect/index", digest.Digest(must(index.Digest()).String()))
	if err != nil {
		t.Fatal(err)
	}
	if want := must(image.RawConfigFile()); !bytes.Equal(config, want) || len(blobs) != 1 {
		t.Errorf("took %s with %d blobs of the index, want %s", config, len(blobs), want)
	}
}

func testTag(t *testing.T, host string, c *Client) {
	repository := host + "/tag/a"
	one, two := push(t, repository+":one", ociImage(t, 1)), push(t, repository+":two", ociImage(t, 1))
	for _, d := range []digest.Digest{one, two, two, one} {
		check(t, c.Tag(t.Context(), repository, d, repository, "main"))
		if got := must(remote.Head(tag(t, repository+":main"))); got.Digest.String() != d.String() {
			t.Fatalf("main is %s, want %s", got.Digest, d)
		}
	}
	if err := c.Tag(t.Context(), repository, digest.FromString("none"), repository, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("tag what is not there: %v", err)
	}
	if tags := must(c.Tags(t.Context(), repository)); !slices.Equal(tags, []string{"main", "one", "two"}) {
		t.Errorf("the tags are %v", tags)
	}
	if tags, err := c.Tags(t.Context(), host+"/tag/none"); err != nil || len(tags) != 0 {
		t.Errorf("tags of no repository: %v, %v", tags, err)
	}
}

func testTagOnce(t *testing.T, host string, c *Client) {
	repository := host + "/once/a"
	one, two := push(t, repository+":one", ociImage(t, 1)), push(t, repository+":two", ociImage(t, 1))
	check(t, c.TagOnce(t.Context(), repository, one, repository, "v1"))
	check(t, c.TagOnce(t.Context(), repository, one, repository, "v1"))
	if err := c.TagOnce(t.Context(), repository, two, repository, "v1"); !errors.Is(err, ErrTagTaken) {
		t.Errorf("move v1: %v", err)
	}
	if d, _, _ := c.Digest(t.Context(), repository, "v1"); d != one {
		t.Errorf("v1 is %s now", d)
	}
	// Of many at once, one wins and the others hear of it.
	results := make(chan error)
	for i := range 8 {
		d := []digest.Digest{one, two}[i%2]
		go func() { results <- c.TagOnce(t.Context(), repository, d, repository, "v2") }()
	}
	refused := 0
	for range 8 {
		if err := <-results; errors.Is(err, ErrTagTaken) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 4 {
		t.Errorf("%d of 8 were refused, want 4", refused)
	}
}

func testCopyWithinOne(t *testing.T, host string, c *Client) {
	image := ociImage(t, 2)
	d := push(t, host+"/copy/from:main", image)
	check(t, c.Tag(t.Context(), host+"/copy/from", d, host+"/copy/to", "main"))
	check(t, c.Copy(t.Context(), host+"/copy/from", d, host+"/copy/silent", ""))
	for _, repository := range []string{"/copy/to", "/copy/silent"} {
		if _, _, err := c.Inspect(t.Context(), host+repository, d); err != nil {
			t.Error(err)
		}
		for _, layer := range must(image.Layers()) {
			blob := must(c.Open(t.Context(), host+repository, digest.Digest(must(layer.Digest()).String())))
			if _, err := io.Copy(io.Discard, blob); err != nil {
				t.Error(err)
			}
			blob.Close()
		}
	}
}

func testCopyIndex(t *testing.T, host string, c *Client) {
	_, index := ociIndex(t)
	check(t, remote.WriteIndex(tag(t, host+"/copy/index:main"), index))
	d := digest.Digest(must(index.Digest()).String())
	other := startEmbedded(t)
	check(t, c.Copy(t.Context(), host+"/copy/index", d, other+"/lab/index", "main"))
	if got, ok, err := c.Digest(t.Context(), other+"/lab/index", "main"); got != d || !ok || err != nil {
		t.Errorf("the copy is %s, %v, %v", got, ok, err)
	}
	if _, _, err := c.Inspect(t.Context(), other+"/lab/index", d); err != nil {
		t.Error(err)
	}
}

func testDeleteTag(t *testing.T, host string, c *Client) {
	repository := host + "/delete/tag"
	d := push(t, repository+":one", ociImage(t, 1))
	check(t, c.Tag(t.Context(), repository, d, repository, "two"))
	check(t, c.DeleteTag(t.Context(), repository, "one"))
	check(t, c.DeleteTag(t.Context(), repository, "one"))
	if tags := must(c.Tags(t.Context(), repository)); !slices.Equal(tags, []string{"two"}) {
		t.Errorf("the tags are %v", tags)
	}
	if got, ok, err := c.Digest(t.Context(), repository, d.String()); got != d || !ok || err != nil {
		t.Errorf("the manifest is %s, %v, %v", got, ok, err)
	}
}

func testDeleteManifest(t *testing.T, host string, c *Client) {
	repository := host + "/delete/manifest"
	d := push(t, repository+":one", ociImage(t, 1))
	check(t, c.DeleteManifest(t.Context(), repository, d))
	check(t, c.DeleteManifest(t.Context(), repository, d))
	if _, ok, err := c.Digest(t.Context(), repository, d.String()); ok || err != nil {
		t.Errorf("the manifest is there: %v, %v", ok, err)
	}
}

func testResolve(t *testing.T, host string, c *Client) {
	image, index := ociIndex(t)
	check(t, remote.WriteIndex(tag(t, host+"/resolve/index:main"), index))
	want := digest.Digest(must(image.Digest()).String())
	top := must(index.Digest()).String()
	for _, ref := range []string{":main", "@" + top, ":main@" + top, "@" + want.String()} {
		d, config, err := c.Resolve(t.Context(), host+"/resolve/index"+ref, "linux/amd64")
		if err != nil || d != want || !bytes.Equal(config, must(image.RawConfigFile())) {
			t.Errorf("%s is %s, %v, want %s", ref, d, err, want)
		}
	}
	for _, absent := range []string{"/resolve/index:none", "/resolve/none:main"} {
		if _, _, err := c.Resolve(t.Context(), host+absent, "linux/amd64"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", absent, err)
		}
	}
	if _, _, err := c.Resolve(t.Context(), host+"/resolve/index:main", "linux/s390x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a platform that the index lacks: %v", err)
	}
}

func testOpen(t *testing.T, host string, c *Client) {
	layer := must(ociImage(t, 1).Layers())[0]
	check(t, remote.WriteLayer(tag(t, host+"/open/a:x").Context(), layer))
	r, err := c.Open(t.Context(), host+"/open/a", digest.Digest(must(layer.Digest()).String()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, want := must(io.ReadAll(r)), must(io.ReadAll(must(layer.Compressed()))); !bytes.Equal(got, want) {
		t.Error("the blob is another")
	}
	if _, err := c.Open(t.Context(), host+"/open/a", digest.FromString("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("open what is not there: %v", err)
	}
}

func testNamesAreChecked(t *testing.T, host string, c *Client) {
	d := digest.FromString("x")
	for _, repository := range []string{"", "a", host, host + "/", host + "/../etc", host + "/A", "user:secret@" + host + "/a", host + "/a?b=c", host + "/a\r\nX: y"} {
		if _, _, err := c.Digest(t.Context(), repository, "main"); err == nil {
			t.Errorf("%q is taken for a repository", repository)
		}
	}
	for _, reference := range []string{"", ".x", "a/b", "a b", "a?b", strings.Repeat("a", 129), "sha256:zz", "md5:" + strings.Repeat("a", 32), "sha256:../../" + strings.Repeat("a", 58)} {
		if _, _, err := c.Digest(t.Context(), host+"/a", reference); err == nil {
			t.Errorf("%q is taken for a reference", reference)
		}
		if err := c.Tag(t.Context(), host+"/a", d, host+"/a", reference); err == nil {
			t.Errorf("%q is taken for a tag", reference)
		}
		if err := c.DeleteTag(t.Context(), host+"/a", reference); err == nil {
			t.Errorf("%q is deleted as a tag", reference)
		}
	}
	if err := c.DeleteTag(t.Context(), host+"/a", d.String()); err == nil {
		t.Error("a digest is deleted as a tag")
	}
	if err := c.DeleteManifest(t.Context(), host+"/a", "main"); err == nil {
		t.Error("a tag is deleted as a manifest")
	}
}

func startEmbedded(t testing.TB) string {
	t.Helper()
	r, err := embedded.Start(context.Background(), embedded.Options{Dir: t.TempDir(), Open: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r.Host()
}

func client(t testing.TB, o Options) *Client {
	t.Helper()
	if o.DockerConfig == "" {
		o.DockerConfig = dockerConfigFile(t, nil)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ociImage is an image as BuildKit makes it, with random content.
func ociImage(t testing.TB, layers int) v1.Image {
	t.Helper()
	image := must(mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"}))
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range layers {
		image = must(mutate.Append(image, mutate.Addendum{Layer: must(random.Layer(4096, types.OCILayer)), MediaType: types.OCILayer}))
	}
	return image
}

// ociIndex is an index of an amd64 image, an arm64 image and an attestation;
// the first comes along.
func ociIndex(t testing.TB) (v1.Image, v1.ImageIndex) {
	t.Helper()
	image := ociImage(t, 1)
	platform := func(os, arch string) v1.Descriptor {
		return v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: ociImage(t, 1), Descriptor: platform("unknown", "unknown")},
		mutate.IndexAddendum{Add: ociImage(t, 2), Descriptor: platform("linux", "arm64")},
		mutate.IndexAddendum{Add: image, Descriptor: platform("linux", "amd64")})
	return image, index
}

func push(t testing.TB, ref string, image v1.Image) digest.Digest {
	t.Helper()
	if err := remote.Write(tag(t, ref), image); err != nil {
		t.Fatal(err)
	}
	return digest.Digest(must(image.Digest()).String())
}

func tag(t testing.TB, ref string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
