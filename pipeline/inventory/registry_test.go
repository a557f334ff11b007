package inventory

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/registry"
	"github.com/lab-layers/lab-layers/pipeline/registry/embedded"
)

// The whole way: an image is pushed, inspected, and its own blobs surveyed.
func TestThroughRegistry(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Open: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	client, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	push := func(layer string, image v1.Image, files []file) (pipeline.Image, v1.Image) {
		content := archive(t, files)
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, l); err != nil {
			t.Fatal(err)
		}
		repository := server.Host() + "/lab/" + layer
		tag, err := name.NewTag(repository + ":main")
		if err == nil {
			err = remote.Write(tag, image)
		}
		if err != nil {
			t.Fatal(err)
		}
		hash, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		out := pipeline.Image{Repository: repository, Digest: digest.Digest(hash.String())}
		if out.Config, out.Blobs, err = client.Inspect(t.Context(), repository, out.Digest); err != nil {
			t.Fatal(err)
		}
		out.Blobs[len(out.Blobs)-1].Own = true
		return out, image
	}
	start, err := mutate.Config(empty.Image, v1.Config{Env: nvidia124})
	if err != nil {
		t.Fatal(err)
	}
	parent, image := push("base", start, names("usr/local/cuda-12.4/lib64/libcudart.so.12"))
	child, _ := push("torch", image, names(dist("torch-2.6.0+cu124")))

	surveyor := Surveyor{Source: client}
	if parent.Metadata, err = surveyor.Survey(t.Context(), parent, nil); err != nil {
		t.Fatal(err)
	}
	m, err := surveyor.Survey(t.Context(), child, &parent)
	if err != nil {
		t.Fatal(err)
	}
	if list(m.Frameworks) != "torch 2.6.0+cu124" || m.CUDA == nil || m.CUDA.Version != "12.4" || len(m.Evidence) != 2 {
		t.Errorf("found %+v", m)
	}
}

func FuzzBlob(f *testing.F) {
	f.Add([]byte("x"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 4, 0})
	f.Fuzz(func(t *testing.T, content []byte) {
		src := blobs{}
		if _, err := survey(t.Context(), src, src.image(nil, src.add(content)), nil, limits{entries: 100, bytes: 1 << 20, status: 1 << 10, traces: 10}); err != nil {
			t.Error(err)
		}
	})
}
