package operator

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxHinted bounds the tracks of a repository whose layers are known. Tasks of
	// others get no hint what layer was meant.
	maxHinted = 32
	// hintedFor is for how many looks a track is known that no task asks for.
	hintedFor = 20
)

// hints say what tasks may have meant that get no image. Many may wait, and name any
// track, so what there is is asked for once a look, and only names are kept.
type hints struct {
	records TaskRecords

	mu           sync.Mutex // held while the records are asked: one asks for all
	repositories map[string]*hinted
}

// hinted is what is known of one repository.
type hinted struct {
	fresh  bool
	refs   []layers.Ref // that have a release, the newest first
	tracks map[string]*hintedTrack
}

// hintedTrack is what is known of a track that has a release.
type hintedTrack struct {
	fresh  bool
	idle   int // looks since a task asked
	layers []layers.Name
}

// meant says what may have been meant by a track, or a layer, that has no image.
func (h *hints) meant(ctx context.Context, url string, track deploy.Track, layer layers.Name) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.repositories[url]
	if of == nil {
		of = &hinted{tracks: map[string]*hintedTrack{}}
		h.repositories[url] = of
	}
	if !of.fresh {
		refs, err := h.records.ReleasedRefs(ctx, url)
		if err != nil {
			return "", err
		}
		of.fresh, of.refs = true, refs
	}
	var has []layers.Name
	if newest, released := track.Latest(of.refs); released {
		var err error
		if has, err = h.layers(ctx, url, of, track, newest); err != nil {
			return "", err
		}
	}
	return deploy.Meant(track, layer, has, of.refs), nil
}

// layers are those of a track's newest release; none where too many tracks are
// asked for. Which are known stays, so that no task's reason comes and goes.
func (h *hints) layers(ctx context.Context, url string, of *hinted, track deploy.Track, newest layers.Ref) ([]layers.Name, error) {
	t := of.tracks[track.String()]
	if t == nil {
		if len(of.tracks) == maxHinted {
			return nil, nil
		}
		t = &hintedTrack{}
		of.tracks[track.String()] = t
	}
	t.idle = 0
	if !t.fresh {
		releases, err := h.records.Releases(ctx, url, []layers.Ref{newest}, false)
		if err != nil {
			return nil, err
		}
		t.fresh, t.layers = true, nil
		for _, r := range releases {
			t.layers = slices.Sorted(maps.Keys(r.Images))
		}
	}
	return t.layers, nil
}

// renew has what is known asked for anew.
func (h *hints) renew() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.repositories {
		of.fresh = false
		for name, t := range of.tracks {
			t.fresh = false
			if t.idle++; t.idle > hintedFor {
				delete(of.tracks, name)
			}
		}
	}
}
