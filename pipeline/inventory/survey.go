package inventory

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/pipeline"
)

// Source opens blobs as they are stored. A blob that cannot be read to its end
// is an error of the reader.
type Source interface {
	Open(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error)
}

// Surveyor is a [pipeline.Surveyor] over a source.
type Surveyor struct{ Source Source }

var _ pipeline.Surveyor = Surveyor{}

// Survey says what an image holds; see [Survey].
func (s Surveyor) Survey(ctx context.Context, image pipeline.Image, parent *pipeline.Image) (pipeline.Metadata, error) {
	if parent == nil {
		return Survey(ctx, s.Source, image, nil)
	}
	return Survey(ctx, s.Source, image, &parent.Metadata)
}

// Survey reads the file lists of the image's own blobs, from the lowest up, and
// adds them to what its parent was found to hold; what a blob removes is no
// longer there. An error is the source's or the context's. A blob that is no
// sound archive, or has no end, is not one: the metadata then say that they are
// incomplete.
func Survey(ctx context.Context, src Source, image pipeline.Image, parent *pipeline.Metadata) (pipeline.Metadata, error) {
	return survey(ctx, src, image, parent, defaultLimits)
}

func survey(ctx context.Context, src Source, image pipeline.Image, parent *pipeline.Metadata, limits limits) (pipeline.Metadata, error) {
	known := findings{}
	var missed []string
	if parent != nil {
		known = recall(parent.Evidence)
		if parent.Incomplete != "" {
			missed = append(missed, parent.Incomplete)
		}
	}
	for _, blob := range image.Blobs {
		if !blob.Own {
			continue
		}
		r, err := src.Open(ctx, image.Repository, blob.Digest)
		if err != nil {
			return pipeline.Metadata{}, fmt.Errorf("survey %s: %w", image.Ref(), err)
		}
		flaw, err := known.read(ctx, r, limits)
		r.Close()
		if err != nil {
			return pipeline.Metadata{}, fmt.Errorf("survey blob %s of %s: %w", blob.Digest, image.Ref(), err)
		}
		if flaw != "" {
			missed = append(missed, fmt.Sprintf("blob %s: %s", blob.Digest, flaw))
		}
	}
	return conclude(known, image.Environment(), strings.Join(missed, "; ")), nil
}

// findings is what was found so far: by the path that shows it, which a higher
// blob may remove.
type findings map[string][]trace

// all is every trace, in the order of their paths.
func (f findings) all() []trace {
	var list []trace
	for _, path := range slices.Sorted(maps.Keys(f)) {
		list = append(list, f[path]...)
	}
	return list
}

// recall makes findings of what was recorded.
func recall(evidence []pipeline.Finding) findings {
	known := findings{}
	for _, finding := range evidence {
		if t, ok := traceOf(finding); ok {
			known[t.path] = append(known[t.path], t)
		}
	}
	return known
}
