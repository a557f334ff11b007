package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

func TestTagsAndBlobs(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	image := must(random.Image(2048, 3))
	digest := must(image.Digest())
	one, two := parse(t, r.Host()+"/lab/base:one"), parse(t, r.Host()+"/lab/base:two")

	check(t, remote.Write(one, image))
	check(t, remote.Put(two, image))
	if got := must(remote.List(one.Context())); !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("tags are %v", got)
	}
	check(t, read(remote.Image(two)))
	if got := must(remote.Catalog(t.Context(), one.Context().Registry)); !slices.Equal(got, []string{"lab/base"}) {
		t.Fatalf("repositories are %v", got)
	}

	// Mounting: a layer that cannot be read anywhere else reaches the child.
	child := parse(t, r.Host()+"/lab/child:main")
	var layers []mutate.Addendum
	for _, layer := range must(image.Layers()) {
		layers = append(layers, mutate.Addendum{Layer: &remote.MountableLayer{Layer: unreadable{layer}, Reference: one}})
	}
	check(t, remote.Write(child, must(mutate.Append(empty.Image, layers...))))

	check(t, remote.Delete(one))
	if got := must(remote.Head(two)); got.Digest != digest {
		t.Fatalf("with one tag gone the other is %s", got.Digest)
	}
	check(t, remote.Delete(one.Context().Digest(digest.String())))
	if _, err := remote.Head(two); status(err) != http.StatusNotFound {
		t.Fatalf("a tag on a removed manifest: %v", err)
	}
	if _, err := remote.Image(child); err != nil {
		t.Fatalf("another repository's image went too: %v", err)
	}
}

func TestMediaTypesOfBuildKit(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	encoder := must(zstd.NewWriter(nil))
	layer := static.NewLayer(encoder.EncodeAll(bytes.Repeat([]byte("layer"), 1000), nil), types.OCILayerZStd)
	image := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	image = must(mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayerZStd}))
	attestation := must(mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1),
		mutate.Addendum{Layer: static.NewLayer([]byte(`{"predicateType":"x"}`), "application/vnd.in-toto+json"), MediaType: "application/vnd.in-toto+json"}))
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		}}), types.OCIImageIndex)
	ref := parse(t, r.Host()+"/lab/zstd:main")
	check(t, remote.WriteIndex(ref, index))
	if got := must(remote.Head(ref)); got.Digest != must(index.Digest()) || got.MediaType != types.OCIImageIndex {
		t.Errorf("pushed %s, got %+v", must(index.Digest()), got)
	}
}

func TestManifestWithoutItsBlobsIsRefused(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	err := remote.Put(parse(t, r.Host()+"/lab/half:main"), must(random.Image(64, 1)))
	if got := status(err); got < 400 || got >= 500 {
		t.Fatalf("a manifest without its blobs: %v", err)
	}
}

func TestRestartKeepsAddressAndImages(t *testing.T) {
	dir := t.TempDir()
	first := must(Start(t.Context(), Options{Dir: dir, Open: true}))
	image := must(random.Image(256, 1))
	check(t, remote.Write(parse(t, first.Host()+"/lab/a:1"), image))
	check(t, first.Stop(t.Context()))

	second := start(t, Options{Dir: dir})
	if second.Host() != first.Host() {
		t.Fatalf("the address moved from %s to %s", first.Host(), second.Host())
	}
	if got := must(remote.Head(parse(t, second.Host()+"/lab/a:1"))); got.Digest != must(image.Digest()) {
		t.Fatalf("the image is %s now", got.Digest)
	}
}

func TestTakenAddress(t *testing.T) {
	dir := t.TempDir()
	first := must(Start(t.Context(), Options{Dir: dir, Open: true}))
	check(t, first.Stop(t.Context()))
	other := must(net.Listen("tcp", first.Host()))
	defer other.Close()

	if _, err := Start(t.Context(), Options{Dir: dir, Listen: first.Host()}); err == nil {
		t.Fatal("started on a taken address that was asked for")
	}
	var logged bytes.Buffer
	second := start(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if second.Host() == first.Host() {
		t.Fatal("both listen at one address")
	}
	if !strings.Contains(logged.String(), first.Host()) {
		t.Errorf("nothing was said of the taken address: %q", logged.String())
	}
	if _, err := remote.Catalog(t.Context(), parse(t, second.Host()+"/a:b").Context().Registry); err != nil {
		t.Error(err)
	}
}

func TestRequestsAreLogged(t *testing.T) {
	var logged bytes.Buffer
	r := start(t, Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if _, err := remote.Head(parse(t, r.Host()+"/lab/none:main")); status(err) != http.StatusNotFound {
		t.Fatal(err)
	}
	check(t, r.Stop(t.Context())) // the last line is written
	if got := logged.String(); !strings.Contains(got, "/v2/lab/none/manifests/main") || strings.Contains(got, "level=WARN") {
		t.Errorf("logged %s", got)
	}
}

func start(t *testing.T, o Options) *Registry {
	t.Helper()
	o.Open = true
	r, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// unreadable is a layer that can only be mounted.
type unreadable struct{ v1.Layer }

func (unreadable) Compressed() (io.ReadCloser, error) {
	return nil, errors.New("the layer was read")
}

func parse(t *testing.T, ref string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
