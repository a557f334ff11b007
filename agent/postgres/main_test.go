package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres/cluster"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// shared is the cluster of all tests; each has a schema of its own.
var (
	shared        *cluster.Cluster
	sharedOptions cluster.Options
)

func TestMain(m *testing.M) { os.Exit(withCluster(m.Run)) }

func withCluster(run func() int) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	sharedOptions.DataDir = dir
	if shared, err = cluster.Start(ctx, sharedOptions); err != nil {
		fmt.Println(err)
		return 1
	}
	code := run()
	hurry, cancel := context.WithCancel(ctx)
	cancel() // what is thrown away need not be written down
	shared.Stop(hurry)
	return code
}

// restart ends the cluster at once and starts it again.
func restart(t *testing.T) {
	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	shared.Stop(hurry)
	again, err := cluster.Start(t.Context(), sharedOptions)
	if err != nil {
		t.Fatal(err)
	}
	shared = again
}

var schemas atomic.Int64

func newSchema() string { return fmt.Sprintf("test_%d", schemas.Add(1)) }

func mustOpen(t testing.TB, url, schema string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return mustOpen(t, shared.URL(), newSchema())
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// commit and sum make the ids of things from their names.
func commit(name string) layers.Commit {
	return layers.Commit(digest.FromString(name).Encoded()[:40])
}

func sum(name string) digest.Digest { return digest.FromString(name) }

func key(name string) layers.Key { return layers.Key(sum("key " + name)) }

const labURL = "https://git.example/lab.git"

// push records a move of a ref and returns its run.
func push(t testing.TB, s *Store, ref layers.Ref, from, to string) agent.Run {
	t.Helper()
	repository := must[agent.RepositoryID](t)(s.Repository(t.Context(), labURL))
	move := agent.Move{Repository: repository, URL: labURL, Ref: ref, New: commit(to)}
	if from != "" {
		move.Old = commit(from)
	}
	runs := must[[]agent.Run](t)(s.Record(t.Context(), []agent.Move{move}))
	if len(runs) != 1 {
		t.Fatalf("the move to %s gave %d runs", to, len(runs))
	}
	return runs[0]
}

func mustClaim(t testing.TB, s *Store, owner string) agent.Run {
	t.Helper()
	run := must[*agent.Run](t)(s.Claim(t.Context(), owner, time.Minute))
	if run == nil {
		t.Fatal("there is no run to claim")
	}
	return *run
}

// image makes an image of a layer. Its blobs are those of its parent and one
// of its own.
func image(name, version string, parent *pipeline.Image) pipeline.Image {
	i := pipeline.Image{
		Key: key(name + version), Repository: "registry.example/lab/" + name, Digest: sum("image " + name + version),
		Config: []byte(`{"created":"` + name + "\x00\xff" + `"}`),
		Metadata: pipeline.Metadata{
			Frameworks: []pipeline.Finding{{Name: "pytorch", Version: "2.5.1", Evidence: "torch-2.5.1.dist-info"}},
			Driver:     &pipeline.Finding{Name: "nvidia", Version: "525.60.13", Evidence: "CUDA 12.4"},
		},
	}
	if parent == nil {
		i.Parent, i.ParentRef = sum("debian"), "docker.io/library/debian:12"
	} else {
		i.Parent, i.ParentRef = parent.Digest, parent.Repository
		for _, b := range parent.Blobs {
			b.Own = false
			i.Blobs = append(i.Blobs, b)
		}
	}
	own := "blob " + name + version
	i.Blobs = append(i.Blobs, pipeline.Blob{
		Digest: sum(own), DiffID: sum("diff " + own), MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Size: 1000 + int64(len(version)), Own: true,
	})
	return i
}

// lab is a chain of layers: os, torch on it, and bert and gpt on that.
func lab(t testing.TB, s *Store, versions map[string]string) []pipeline.Image {
	t.Helper()
	var images []pipeline.Image
	var below *pipeline.Image
	for _, name := range []string{"os", "torch", "bert", "gpt"} {
		i := must[pipeline.Image](t)(s.Publish(t.Context(), image(name, versions[name], below)))
		if name == "os" || name == "torch" {
			below = &i
		}
		images = append(images, i)
	}
	return images
}

// verdict is the success of a run whose layers have the images. Those in built
// were built, the others reused.
func verdict(run agent.Run, images []pipeline.Image, built ...string) agent.Verdict {
	v := agent.Verdict{
		State: agent.Succeeded, Plan: &layers.Plan{To: run.Move.New},
		Snapshot: &agent.Snapshot{Repository: run.Move.Repository, Commit: run.Move.New, Complete: true, Images: map[layers.Name]pipeline.Image{}},
	}
	for _, i := range images {
		name := layers.Name(i.Repository[strings.LastIndex(i.Repository, "/")+1:])
		planned := &layers.PlannedLayer{Name: name, Kind: layers.Experiment, Key: i.Key, Step: layers.Reuse, Reasons: []layers.Reason{}}
		out := pipeline.Outcome{Layer: name, State: pipeline.Reused, Image: &i}
		if slices.Contains(built, string(name)) {
			planned.Step = layers.Build
			planned.Reasons = []layers.Reason{{Kind: layers.ReasonPath, Detail: string(name) + "/train.py changed"}}
			planned.ChangedPaths = []string{string(name) + "/train.py"}
			planned.RebuildFrom = &layers.Instruction{File: "Dockerfile", Line: 3, Text: "COPY train.py /"}
			out.State, out.Log, out.Duration = pipeline.Made, "copied\n", 1500*time.Millisecond
			out.Steps = []pipeline.BuildStep{{Name: "COPY train.py /", Duration: time.Second}}
		}
		v.Plan.Layers = append(v.Plan.Layers, planned)
		v.Outcomes = append(v.Outcomes, out)
		v.Snapshot.Images[name] = i
		v.Tags = append(v.Tags, agent.Tag{Layer: name, Repository: i.Repository, Name: "main", Digest: i.Digest, Ref: run.Move.Ref})
	}
	return v
}

// count asks for one number.
func count(t testing.TB, s *Store, sql string, args ...any) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
