package postgrestest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Repository is one of which there are only records: of pushes, and of what an agent
// would have made of them.
type Repository struct {
	// At is where its refs are.
	At map[layers.Ref]layers.Commit
	// Pushes is how many there were.
	Pushes int
	// Found is what images were found to hold, by digest.
	Found map[string]pipeline.Metadata

	t     testing.TB
	store *postgres.Store
	url   string
}

// NewRepository is an empty one.
func NewRepository(t testing.TB, store *postgres.Store, url string) *Repository {
	return &Repository{At: map[layers.Ref]layers.Commit{}, Found: map[string]pipeline.Metadata{}, t: t, store: store, url: url}
}

func (r *Repository) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// Push records a move of a ref, and that a worker took it up.
func (r *Repository) Push(ref layers.Ref) *agent.Run {
	r.t.Helper()
	r.Pushes++
	commit := layers.Commit(digest.FromString(fmt.Sprint(r.t.Name(), r.Pushes)).Encoded()[:40])
	repository, err := r.store.Repository(r.t.Context(), r.url)
	r.check(err)
	_, err = r.store.Record(r.t.Context(), []agent.Move{{Repository: repository, URL: r.url, Ref: ref, Old: r.At[ref], New: commit}})
	r.check(err)
	r.At[ref] = commit
	run, err := r.store.Claim(r.t.Context(), "test", time.Minute)
	r.check(err)
	return run
}

// Finish ends a run with images of layers, given by their digests; a layer that has
// none failed.
func (r *Repository) Finish(run *agent.Run, images map[layers.Name]string) {
	r.t.Helper()
	v := agent.Verdict{
		State: agent.Succeeded, Plan: &layers.Plan{To: run.Move.New},
		Snapshot: &agent.Snapshot{Repository: run.Move.Repository, Commit: run.Move.New, Complete: true, Images: map[layers.Name]pipeline.Image{}},
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		d := digest.Digest(images[name])
		key := layers.Key(digest.FromString(string(name) + string(d)))
		v.Plan.Layers = append(v.Plan.Layers, &layers.PlannedLayer{
			Name: name, Kind: layers.Experiment, Key: key, Step: layers.Build,
			Reasons: []layers.Reason{{Kind: layers.ReasonPath, Detail: string(name) + "/train.py changed"}},
		})
		if d == "" {
			v.State, v.Reason, v.Snapshot.Complete = agent.Failed, string(name)+" failed", false
			v.Outcomes = append(v.Outcomes, pipeline.Outcome{Layer: name, State: pipeline.Broken, Error: errors.New("Dockerfile:3: exit code 1")})
			continue
		}
		image, err := r.store.Publish(r.t.Context(), pipeline.Image{
			Key: key, Repository: string(name), Digest: d, Config: []byte("{}"), Metadata: r.Found[string(d)],
			Blobs: []pipeline.Blob{{Digest: d, DiffID: d, MediaType: "application/vnd.oci.image.layer.v1.tar+zstd", Size: 1, Own: true}},
		})
		r.check(err)
		v.Outcomes = append(v.Outcomes, pipeline.Outcome{Layer: name, State: pipeline.Made, Image: &image})
		v.Snapshot.Images[name] = image
	}
	r.check(r.store.Finish(r.t.Context(), *run, v))
}

// Release is a push that gives images. It returns the commit.
func (r *Repository) Release(ref layers.Ref, images map[layers.Name]string) layers.Commit {
	r.t.Helper()
	run := r.Push(ref)
	r.Finish(run, images)
	return run.Move.New
}
