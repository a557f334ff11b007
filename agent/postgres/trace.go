package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Bounds of the lists of a trace.
const (
	maxTraced      = 1000
	maxTracedTasks = 20
)

// Trace tells where images come from and what depends on them.
type Trace struct {
	Query string `json:"query"`
	// Kind is what the query names.
	Kind TraceKind `json:"kind"`
	// Images has the one image, or all of the commit; it is empty for an image
	// from outside.
	Images []ImageTrace `json:"images"`
	// Outside has the images from outside that the query names: several if a
	// reference has pointed at several.
	Outside []agent.Base `json:"outside,omitempty"`
	// StandingOn is everything that stands on the image, directly or not, the
	// newest first and at most 1,000; empty for a commit.
	StandingOn []Standing `json:"standing_on"`
	// Tasks are those that had one of the images, the newest first and at most 20.
	Tasks []deploy.Task `json:"tasks,omitempty"`
}

// TraceKind says what a query named.
type TraceKind string

// What can be traced.
const (
	TracedImage   TraceKind = "image"
	TracedCommit  TraceKind = "commit"
	TracedOutside TraceKind = "outside"
)

// ImageTrace is all that is recorded about one image.
type ImageTrace struct {
	pipeline.Image
	Layer     layers.Name `json:"layer"`
	Published time.Time   `json:"published"`
	// Lost is when the registry was found not to have it any more.
	Lost time.Time `json:"lost,omitzero"`
	// FrameworkType is the most specific framework, or none.
	FrameworkType string `json:"framework_type"`
	// GPUDriver is the lowest driver that it needs, or unknown.
	GPUDriver string `json:"gpu_driver_ver"`
	// Chain is what it stands on, down to an image from outside, if it stands
	// on one that is known.
	Chain []Link `json:"chain"`
	// BuiltBy is the run that built it; nil if it was found in the registry.
	BuiltBy *agent.HistoryEntry `json:"built_by,omitempty"`
	// Snapshots that have it, the newest first and at most 1,000.
	Snapshots []SnapshotTrace `json:"snapshots"`
	Tags      []agent.Tag     `json:"tags"`

	id int64
}

// Link is an image in the chain of those below another.
type Link struct {
	agent.Base
	// Layer is empty for an image from outside.
	Layer   layers.Name `json:"layer,omitempty"`
	Outside bool        `json:"outside"`
}

// SnapshotTrace is a commit that has an image.
type SnapshotTrace struct {
	Repository string        `json:"repository"`
	Commit     layers.Commit `json:"commit"`
	// Refs that were at the commit.
	Refs     []layers.Ref `json:"refs"`
	Layer    layers.Name  `json:"layer"`
	Complete bool         `json:"complete"`
	Taken    time.Time    `json:"taken"`
	// LayerHash is the change set: the blobs that the layer's image in the
	// snapshot before did not have; LayerSize their bytes.
	LayerHash []digest.Digest `json:"layer_hash"`
	LayerSize int64           `json:"layer_size"`
}

// Standing is an image that stands on another.
type Standing struct {
	Layer      layers.Name   `json:"layer"`
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Parent is the digest of the image right below it, empty if unknown.
	Parent    digest.Digest `json:"parent,omitempty"`
	Published time.Time     `json:"published"`
	Lost      time.Time     `json:"lost,omitzero"`
	// Tags are those that point at it: REPOSITORY:NAME.
	Tags []string `json:"tags"`
}

// Trace finds what a query names and tells all about it. It takes the digest
// of an image or of one from outside, a key or a commit, whole or the first six
// digits or more, with or without "sha256:"; LAYER:TAG or HOST/PREFIX/LAYER:TAG;
// REPOSITORY@DIGEST; or the reference of an image from outside. The error wraps
// [ErrNotFound] or is an [*AmbiguousError].
func (s *Store) Trace(ctx context.Context, query string) (*Trace, error) {
	t, err := s.trace(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("trace %q: %w", query, err)
	}
	return t, nil
}

func (s *Store) trace(ctx context.Context, query string) (*Trace, error) {
	found, err := s.find(ctx, query)
	if err != nil {
		return nil, err
	}
	t := &Trace{Query: query, Kind: found.kind, Images: []ImageTrace{}, StandingOn: []Standing{}}
	switch found.kind {
	case TracedCommit:
		t.Images, err = s.images(ctx, `i.id in (select si.image from snapshot_images si join snapshots s on s.id = si.snapshot
			where s.commit = $1) order by i.id`, found.name)
	case TracedImage:
		t.Images, err = s.images(ctx, "i.digest = $1 order by i.lost_at is not null, i.id desc limit 1", found.name)
		if err == nil {
			t.StandingOn, err = s.standingOn(ctx, agent.Base{Digest: digest.Digest(found.name)})
		}
	case TracedOutside:
		t.Outside = found.outside
		t.StandingOn, err = s.standingOn(ctx, found.outside...)
	}
	if err != nil || len(t.Images) == 0 {
		return t, err
	}
	var digests []string
	for _, i := range t.Images {
		digests = append(digests, string(i.Digest))
	}
	t.Tasks, err = s.tasks(ctx, "t.digest = any($1::text[]) order by t.submitted desc, t.id desc limit $2", digests, maxTracedTasks)
	return t, err
}

// images reads the images i that a condition holds for, with all about them.
func (s *Store) images(ctx context.Context, where string, args ...any) ([]ImageTrace, error) {
	images, err := read(ctx, s, func(r pgx.CollectableRow) (t ImageTrace, err error) {
		var lost *time.Time
		t.Image, err = scanImage(r, &t.id, &t.Layer, &t.Published, &lost, &t.FrameworkType, &t.GPUDriver)
		t.Lost = orZero(lost)
		t.Chain, t.Snapshots, t.Tags = []Link{}, []SnapshotTrace{}, []agent.Tag{}
		return t, err
	}, `select i.id, i.layer, i.published, i.lost_at, i.framework_type, i.gpu_driver_ver, `+imageColumns+
		" from images i "+blobsOfImage+" where "+where, args...)
	if err != nil {
		return nil, err
	}
	for n := range images {
		if err := s.about(ctx, &images[n]); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// about adds to an image what is recorded elsewhere.
func (s *Store) about(ctx context.Context, t *ImageTrace) (err error) {
	if t.Chain, err = s.chain(ctx, t.id); err != nil {
		return err
	}
	if t.Snapshots, err = s.snapshotsOf(ctx, t.id); err != nil {
		return err
	}
	if t.Tags, err = s.tagsOf(ctx, t.Digest); err != nil {
		return err
	}
	built, err := s.history(ctx, "l.image = $1 and l.state = 'built' order by l.run limit 1", t.id)
	if err == nil && len(built) > 0 {
		t.BuiltBy = &built[0]
	}
	return err
}

func (s *Store) snapshotsOf(ctx context.Context, image int64) ([]SnapshotTrace, error) {
	return read(ctx, s, func(r pgx.CollectableRow) (t SnapshotTrace, err error) {
		var refs []string
		err = r.Scan(&t.Repository, &t.Commit, &refs, &t.Layer, &t.Complete, &t.Taken, &t.LayerHash, &t.LayerSize)
		t.Refs = []layers.Ref{}
		for _, ref := range refs {
			t.Refs = append(t.Refs, decodeRef(ref))
		}
		return t, err
	}, `select g.url, s.commit, array(select distinct m.ref from moves m where m.new_commit = s.commit and m.repository = s.repository order by 1),
			si.layer, s.complete, s.taken, si.layer_hash::text[], si.layer_size
		from snapshot_images si join snapshots s on s.id = si.snapshot join repositories g on g.id = s.repository
		where si.image = $1 order by s.id desc limit $2`, image, maxTraced)
}

func (s *Store) tagsOf(ctx context.Context, d digest.Digest) ([]agent.Tag, error) {
	return read(ctx, s, scanTag, "select "+tagColumns+` from tags t where t.digest = $1
		order by t.repository, t.name limit $2`, d, maxTraced)
}
