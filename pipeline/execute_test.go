package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	server "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/postgres/cluster"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/inventory"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// scripted pushes a random image for each order, or fails as it is told to.
type scripted struct {
	fail map[layers.Name]error

	mu    sync.Mutex
	order []layers.Name
}

func (s *scripted) Build(_ context.Context, order pipeline.Order, _ func(pipeline.Event)) (pipeline.Built, error) {
	s.mu.Lock()
	s.order = append(s.order, order.Layer)
	s.mu.Unlock()
	if err := s.fail[order.Layer]; err != nil {
		return pipeline.Built{}, err
	}
	image, err := random.Image(64, 1)
	if err != nil {
		return pipeline.Built{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return pipeline.Built{}, err
	}
	config.Config.Labels = order.Labels
	config.OS, config.Architecture = "linux", "amd64"
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return pipeline.Built{}, err
	}
	d, err := image.Digest()
	if err != nil {
		return pipeline.Built{}, err
	}
	ref, err := name.NewDigest(order.Repository + "@" + d.String())
	if err != nil {
		return pipeline.Built{}, err
	}
	return pipeline.Built{Digest: digest.Digest(d.String())}, remote.Write(ref, image)
}

const config = `version: 1
layers:
  - {name: base, kind: base, context: base}
  - {name: left, kind: framework, context: left, parent: base}
  - {name: right, kind: framework, context: right, parent: base}
  - {name: leaf, kind: experiment, context: leaf, parent: left}
  - {name: gone, kind: base, context: gone}
`

// newPlan plans a repository in which the layer gone has no Dockerfile.
func newPlan(t *testing.T) func() *layers.Plan {
	dir := t.TempDir()
	for _, layer := range []string{"base", "left", "right", "leaf"} {
		from := "FROM scratch"
		if layer != "base" {
			from = "FROM parent"
		}
		check(t, os.Mkdir(filepath.Join(dir, layer), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, layer, "Dockerfile"), []byte(from+"\nCOPY . /"+layer+"\n"), 0o644))
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "first"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	repo, err := git.OpenLocal(dir)
	check(t, err)
	commit, err := repo.Resolve("HEAD")
	check(t, err)
	tree, err := repo.Tree(commit)
	check(t, err)
	cfg, err := layers.ParseConfig("lab-layers.yaml", []byte(config))
	check(t, err)
	return func() *layers.Plan {
		plan, err := layers.NewPlanner(nil, layers.Settings{}).Plan(t.Context(), tree, cfg)
		check(t, err)
		return plan
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExecute goes through the attempts of one repository: a failure blocks
// what stands on it and nothing else, and what was made is never made again.
func TestExecute(t *testing.T) {
	host := httptest.NewServer(server.New())
	defer host.Close()
	client, err := registry.New(registry.Options{})
	check(t, err)
	records, err := cluster.Start(t.Context(), cluster.Options{DataDir: t.TempDir()})
	check(t, err)
	defer records.Stop(context.Background())
	store, err := postgres.Open(t.Context(), records.URL(), postgres.Options{})
	check(t, err)
	defer store.Close()
	builder := &scripted{}
	p := &pipeline.Pipeline{
		Builder: builder, Registry: client, Ledger: store, Surveyor: inventory.Surveyor{Source: client},
		Prefix: strings.TrimPrefix(host.URL, "http://") + "/lab", Parallel: 2, Flights: new(pipeline.Flights),
	}
	plan := newPlan(t)
	mistake := &pipeline.BuildError{File: "left/Dockerfile", Line: 2, Err: errors.New("exit 1")}
	outage := errors.New("BuildKit is away")
	for _, attempt := range []struct {
		name   string
		fail   map[layers.Name]error
		builds string // sorted
		want   string
	}{
		{"a failing parent", map[layers.Name]error{"left": mistake}, "base left right",
			"base built, left failed, right built, leaf blocked, gone absent"},
		{"an outage", map[layers.Name]error{"left": outage}, "left",
			"base reused, left failed, right reused, leaf blocked, gone absent"},
		{"mended", nil, "leaf left",
			"base reused, left built, right reused, leaf built, gone absent"},
		{"again", nil, "",
			"base reused, left reused, right reused, leaf reused, gone absent"},
	} {
		builder.fail, builder.order = attempt.fail, nil
		next := plan()
		have, _, err := p.Images(t.Context(), next, layers.TagSet{})
		check(t, err)
		result := p.Execute(t.Context(), next, have, pipeline.Grant{}, nil)
		var got []string
		for _, out := range result.Outcomes {
			got = append(got, fmt.Sprintf("%s %s", out.Layer, out.State))
			if failed := attempt.fail[out.Layer]; failed != nil && !errors.Is(out.Error, failed) {
				t.Errorf("%s: %s: %v", attempt.name, out.Layer, out.Error)
			}
		}
		if text := strings.Join(got, ", "); text != attempt.want {
			t.Errorf("%s: %s, want %s", attempt.name, text, attempt.want)
		}
		for i, layer := range builder.order {
			if parent := next.Layer(layer).Parent; parent != nil && slices.Contains(builder.order[i:], *parent) {
				t.Errorf("%s: %s was built before its parent: %v", attempt.name, layer, builder.order)
			}
		}
		slices.Sort(builder.order)
		if text := strings.Trim(fmt.Sprint(builder.order), "[]"); text != attempt.builds {
			t.Errorf("%s: built %s, want %s", attempt.name, text, attempt.builds)
		}
	}
	testStanding(t, p, client, plan)
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := errors.New("cut off")
	p.Prefix += "/elsewhere"
	next := plan()
	cancel(cut)
	for _, out := range p.Execute(ctx, next, nil, pipeline.Grant{}, nil).Outcomes {
		if out.Image != nil || out.State == pipeline.Stopped && !errors.Is(out.Error, cut) {
			t.Errorf("cut off: %s %s %v", out.Layer, out.State, out.Error)
		}
	}
}

// testStanding tags the images of a plan, moves one tag and deletes the image
// of another: only tags that point at what is recorded are said to stand.
func testStanding(t *testing.T, p *pipeline.Pipeline, client *registry.Client, plan func() *layers.Plan) {
	main := layers.TagSet{Names: []string{"main"}}
	look := func() (*layers.Plan, map[layers.Key]pipeline.Image, []string, []pipeline.Tagged) {
		next := plan()
		have, standing, err := p.Images(t.Context(), next, main)
		check(t, err)
		var names []string
		for _, tag := range standing {
			names = append(names, string(tag.Layer)+":"+tag.Name)
		}
		return next, have, names, standing
	}
	next, have, names, _ := look()
	if len(names) > 0 || len(have) != 4 {
		t.Fatalf("before any tag %v stand, of %d images", names, len(have))
	}
	_, err := p.Tag(t.Context(), p.Execute(t.Context(), next, have, pipeline.Grant{}, nil), main)
	check(t, err)
	right, leaf := have[next.Layer("right").Key], have[next.Layer("leaf").Key]
	other, err := random.Image(64, 1)
	check(t, err)
	check(t, remote.Write(mustRepository(t, right.Repository).Tag("main"), other))
	check(t, client.DeleteManifest(t.Context(), leaf.Repository, leaf.Digest))

	next, have, names, standing := look()
	if text := strings.Join(names, " "); text != "base:main left:main" {
		t.Errorf("after one was moved and one deleted, %s stand", text)
	}
	if next.Layer("right").Step != layers.Reuse || next.Layer("leaf").Step != layers.Build {
		t.Errorf("a moved tag: %s; a deleted image: %s", next.Layer("right").Step, next.Layer("leaf").Step)
	}
	if _, err = p.Tag(t.Context(), p.Execute(t.Context(), next, have, pipeline.Grant{}, nil), main, standing...); err != nil {
		t.Error(err)
	}
	if _, _, names, _ = look(); len(names) != 4 {
		t.Errorf("in the end %v stand", names)
	}
}
