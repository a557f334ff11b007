package pipeline_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// putting notes the tags that are put.
type putting struct {
	pipeline.Registry
	mu   sync.Mutex
	tags []string
}

func (p *putting) Tag(ctx context.Context, from string, d digest.Digest, to, tag string) error {
	p.mu.Lock()
	p.tags = append(p.tags, to[strings.LastIndex(to, "/")+1:]+":"+tag)
	p.mu.Unlock()
	return p.Registry.Tag(ctx, from, d, to, tag)
}

func (p *putting) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	tags := p.tags
	p.tags = nil
	return tags
}

func TestTagAhead(t *testing.T) {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	puts := &putting{Registry: client}
	p := &pipeline.Pipeline{Registry: puts, Prefix: host}
	push := func(layer string) pipeline.Image {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(mustRepository(t, host+"/"+layer).Digest(sum.String()), image); err != nil {
			t.Fatal(err)
		}
		return pipeline.Image{Key: layers.Key(layer), Repository: host + "/" + layer, Digest: digest.Digest(sum.String())}
	}
	base, made := push("base"), push("unet")
	plan := &layers.Plan{Layers: []*layers.PlannedLayer{
		{Name: "base", Key: base.Key, Step: layers.Reuse},
		{Name: "unet", Key: made.Key, Step: layers.Build},
	}}
	have := map[layers.Key]pipeline.Image{base.Key: base}

	ahead := p.TagAhead(t.Context(), plan, have, layers.TagSet{Names: []string{"main-1"}})()
	if got := strings.Join(puts.take(), " "); got != "base:main-1" || len(ahead) != 1 {
		t.Fatalf("ahead put %q and says %v", got, ahead)
	}
	result := pipeline.Result{Outcomes: []pipeline.Outcome{
		{Layer: "base", State: pipeline.Reused, Image: &base}, {Layer: "unet", State: pipeline.Made, Image: &made},
	}}
	tagged, err := p.Tag(t.Context(), result, layers.TagSet{Names: []string{"main", "main-1"}}, ahead...)
	if err != nil || len(tagged) != 4 {
		t.Fatalf("%d tags, %v", len(tagged), err)
	}
	if puts := puts.take(); len(puts) != 3 || strings.Contains(strings.Join(puts, " "), "base:main-1") {
		t.Errorf("in the end put %q", puts)
	}
	for _, tag := range tagged {
		if d, ok, err := client.Digest(t.Context(), tag.Repository, tag.Name); err != nil || !ok || d != tag.Image.Digest {
			t.Errorf("%s:%s is %s, %v, %v", tag.Repository, tag.Name, d, ok, err)
		}
	}

	// What fails ahead is left to Tag, which says so.
	server.Close()
	if ahead := p.TagAhead(cancelled(t), plan, have, layers.TagSet{Names: []string{"main-2"}})(); len(ahead) != 0 {
		t.Errorf("a failure says that it tagged %v", ahead)
	}
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func mustRepository(t *testing.T, at string) name.Repository {
	repository, err := name.NewRepository(at, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}
