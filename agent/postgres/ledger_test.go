package postgres

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func TestPublish(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	parent := image("os", "", nil)
	first := image("bert", "", &parent)
	first.Index = sum("index")
	got := must[pipeline.Image](t)(s.Publish(ctx, first))
	if !reflect.DeepEqual(got, first) {
		t.Errorf("published %+v\ngot       %+v", first, got)
	}
	second := image("bert", "other build", &parent)
	second.Key = first.Key
	if got := must[pipeline.Image](t)(s.Publish(ctx, second)); !reflect.DeepEqual(got, first) {
		t.Errorf("the second to publish got %+v", got)
	}
	images := must[map[layers.Key]pipeline.Image](t)(s.Images(ctx, []layers.Key{first.Key, key("unknown")}))
	if len(images) != 1 || !reflect.DeepEqual(images[first.Key], first) {
		t.Errorf("the images are %+v", images)
	}
	if images := must[map[layers.Key]pipeline.Image](t)(s.Images(ctx, nil)); len(images) != 0 {
		t.Errorf("no keys have the images %+v", images)
	}
}

func TestForget(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	first, second := image("bert", "1", nil), image("bert", "2", nil)
	second.Key = first.Key
	must[pipeline.Image](t)(s.Publish(ctx, first))
	if err := s.Forget(ctx, first.Key, second.Digest); err != nil {
		t.Fatal(err)
	}
	if images := must[map[layers.Key]pipeline.Image](t)(s.Images(ctx, []layers.Key{first.Key})); len(images) != 1 {
		t.Error("another digest's image was forgotten")
	}
	for range 2 {
		if err := s.Forget(ctx, first.Key, first.Digest); err != nil {
			t.Fatal(err)
		}
	}
	if images := must[map[layers.Key]pipeline.Image](t)(s.Images(ctx, []layers.Key{first.Key})); len(images) != 0 {
		t.Errorf("forgotten images: %+v", images)
	}
	// The key is free for another; the first, found again, is too late.
	for _, i := range []pipeline.Image{second, first} {
		if got := must[pipeline.Image](t)(s.Publish(ctx, i)); got.Digest != second.Digest {
			t.Errorf("the key has %s", got.Digest)
		}
	}
	// If the second is lost in its turn, the first may come back.
	if err := s.Forget(ctx, first.Key, second.Digest); err != nil {
		t.Fatal(err)
	}
	first.Repository = "elsewhere.example/bert"
	if got := must[pipeline.Image](t)(s.Publish(ctx, first)); !reflect.DeepEqual(got, first) {
		t.Errorf("the key has %+v", got)
	}
	if n := count(t, s, "select count(*) from images"); n != 2 {
		t.Errorf("history has %d images", n)
	}
}

// TestPublishAtOnce has several builders publish one key, while the image that
// it has keeps being lost: all of one round end with the same image.
func TestPublishAtOnce(t *testing.T) {
	schema := newSchema()
	stores := []*Store{mustOpen(t, shared.URL(), schema), mustOpen(t, shared.URL(), schema)}
	for round := range 10 {
		winners := make([]pipeline.Image, 8)
		var group sync.WaitGroup
		for n := range winners {
			group.Go(func() {
				// Half of them come with a digest that was there before.
				i := image("bert", fmt.Sprint(n%4, " ", round*(n%2)), nil)
				i.Key = key("bert")
				var err error
				if winners[n], err = stores[n%2].Publish(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, w := range winners {
			if !reflect.DeepEqual(w, winners[0]) || len(w.Blobs) != 1 {
				t.Errorf("round %d: %s and %s", round, w.Digest, winners[0].Digest)
			}
		}
		if err := stores[0].Forget(t.Context(), key("bert"), winners[0].Digest); err != nil {
			t.Fatal(err)
		}
	}
	// And some that are lost in between.
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for m := range 10 {
				i := image("bert", fmt.Sprint(n, m), nil)
				i.Key = key("bert")
				winner, err := stores[n%2].Publish(t.Context(), i)
				if err == nil {
					err = stores[n%2].Forget(t.Context(), winner.Key, winner.Digest)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// TestPublishOddities has images that say strange things of themselves.
func TestPublishOddities(t *testing.T) {
	s := newStore(t)
	i := image("bert", "", nil)
	i.Parent, i.ParentRef = "sha256:whatever", "na\x00me\xff"+strings.Repeat("x", 10_000)
	i.Metadata = pipeline.Metadata{
		Frameworks: []pipeline.Finding{{Name: "torch\x00", Evidence: strings.Repeat("\xff", 10_000)}},
		CUDA:       &pipeline.Finding{Name: "cuda", Version: "\\\x00"},
	}
	i.Blobs = nil
	got := must[pipeline.Image](t)(s.Publish(t.Context(), i))
	if got.Parent != "" || !strings.HasPrefix(got.ParentRef, "na\uFFFDme\uFFFDxx") || got.Metadata.CUDA.Version != "\\\uFFFD" || len(got.Blobs) != 0 {
		t.Errorf("published %+v", got)
	}
	for name, spoil := range map[string]func(*pipeline.Image){
		"key":     func(i *pipeline.Image) { i.Key = "x" },
		"digest":  func(i *pipeline.Image) { i.Digest = "" },
		"blob":    func(i *pipeline.Image) { i.Blobs[0].Digest = "sha256:0" },
		"diff id": func(i *pipeline.Image) { i.Blobs[0].DiffID = "" },
		"size":    func(i *pipeline.Image) { i.Blobs[0].Size = -1 },
	} {
		i := image("gpt", name, nil)
		spoil(&i)
		if _, err := s.Publish(t.Context(), i); err == nil {
			t.Errorf("an image with a bad %s was published", name)
		}
	}
}

func TestMetadataColumns(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	var base, framework, version, evidence, driver string
	var change []string
	err := s.pool.QueryRow(t.Context(), `select base_image::text, layer_hash::text[], framework_type, framework_version, framework_evidence, gpu_driver_ver
		from image_metadata where layer = 'bert'`).Scan(&base, &change, &framework, &version, &evidence, &driver)
	if err != nil {
		t.Fatal(err)
	}
	if framework != "pytorch" || version != "2.5.1" || evidence == "" || driver != "525.60.13" || len(change) != 3 {
		t.Errorf("bert has %s %s (%s), %s, %s", framework, version, evidence, driver, change)
	}
	for _, want := range []string{"registry.example/lab/torch", string(sum("image torch")), `"root": {"name": "docker.io/library/debian:12", "digest": "` + string(sum("debian"))} {
		if !strings.Contains(base, want) {
			t.Errorf("the base is %s, without %s", base, want)
		}
	}
	bare := image("bare", "", nil)
	bare.Parent, bare.ParentRef, bare.Metadata = "", "", pipeline.Metadata{}
	must[pipeline.Image](t)(s.Publish(t.Context(), bare))
	err = s.pool.QueryRow(t.Context(), "select base_image::text, framework_type, gpu_driver_ver from image_metadata where layer = 'bare'").Scan(&base, &framework, &driver)
	if err != nil || framework != "none" || driver != "unknown" || !strings.Contains(base, `"name": null`) {
		t.Errorf("bare has %s, %s, %s: %v", base, framework, driver, err)
	}
}

func TestImageOf(t *testing.T) {
	s := newStore(t)
	lab(t, s, nil)
	want := image("os", "", nil)
	got, ok, err := s.ImageOf(t.Context(), want.Digest)
	if err != nil || !ok || got.Repository != want.Repository || got.Metadata.Driver.Version != "525.60.13" || string(got.Config) != string(want.Config) {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	for _, unknown := range []digest.Digest{sum("nothing"), "", "sha256:x", "no digest\x00"} {
		if _, ok, err := s.ImageOf(t.Context(), unknown); ok || err != nil {
			t.Errorf("%q: %v, %v", unknown, ok, err)
		}
	}
}
