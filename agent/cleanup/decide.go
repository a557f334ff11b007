package cleanup

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Policy says what is kept.
type Policy struct {
	// Prefix of the registry's repositories: HOST or HOST/PREFIX. Tags elsewhere
	// are left alone.
	Prefix string
	// Last is how many commits of each lasting ref are kept.
	Last int
	// MinAge protects everything that was made or used since.
	MinAge time.Duration
	// Grace is how long the tags of a deleted ref stay.
	Grace time.Duration
}

// Decision is what is to go.
type Decision struct {
	Tags   []TagDeletion
	Images []ImageDeletion
}

// TagDeletion is a tag that is to go, and why.
type TagDeletion struct {
	Tag
	Why string
}

// ImageDeletion is a digest that is to go, and why.
type ImageDeletion struct {
	Digest digest.Digest
	// Images are its records: one digest may have several keys.
	Images []Image
	// Repositories that may hold it, in full.
	Repositories []string
	Why          string
}

// Decide says what is to go. The listing needs to have the repositories of the
// images that go without one: every tag in it that stays protects what it points
// at, whoever put it there. More in the listing never makes more go.
func Decide(e Estate, listing Listing, p Policy) Decision {
	keeps := p.commits(e)
	tags := p.tags(e, keeps)
	kept := map[digest.Digest]bool{}
	for _, d := range keptBySnapshots(e, keeps) {
		kept[d] = true
	}
	for _, i := range e.Images {
		if e.Now.Sub(i.Since) < p.MinAge {
			kept[i.Digest] = true
		}
	}
	keptByUse(e, p.MinAge, kept)
	keptByTags(e, listing, tags, kept)
	keepParents(e, kept)
	return Decision{Tags: tags, Images: p.images(e, kept)}
}

// spot names a commit of a repository.
type spot struct {
	of     agent.RepositoryID
	commit layers.Commit
}

// commits are those whose snapshots are kept.
func (p Policy) commits(e Estate) map[spot]bool {
	keeps := map[spot]bool{}
	for _, s := range e.Snapshots {
		newest := false
		for _, turn := range s.Turns {
			newest = newest || turn < p.Last
		}
		if len(s.Heads) > 0 || s.Waiting || newest || e.Now.Sub(s.Taken) < p.MinAge {
			keeps[spot{s.Repository, s.Commit}] = true
		}
	}
	return keeps
}

// tags are those that are to go: temporary ones, and those that name a commit
// whose snapshot goes. Other lasting tags stay for ever.
func (p Policy) tags(e Estate, keeps map[spot]bool) (gone []TagDeletion) {
	for _, t := range e.Tags {
		if !strings.HasPrefix(t.Repository, p.Prefix+"/") {
			continue
		}
		why := ""
		switch {
		case !t.Expires.IsZero() && !t.Expires.After(e.Now):
			why = "it expired at " + stamp(t.Expires)
		case !t.Expires.IsZero() && !t.Gone.IsZero() && e.Now.Sub(t.Gone) >= p.Grace:
			why = fmt.Sprintf("%s was deleted at %s", t.Ref, stamp(t.Gone))
		case t.Expires.IsZero() && t.dated() && !keeps[spot{t.Of, t.Commit}] && e.Now.Sub(t.Moved) >= p.MinAge:
			why = fmt.Sprintf("commit %s is none to keep: no ref is there, and it is not among the last %d of one", t.Commit.Short(), p.Last)
		}
		if why != "" {
			gone = append(gone, TagDeletion{t, why})
		}
	}
	return gone
}

// dated tells a branch's tag that names a commit from the one that moves.
func (t Tag) dated() bool {
	return strings.HasPrefix(string(t.Ref), "refs/heads/") && t.Commit != "" && strings.Contains(t.Name, t.Commit.Short())
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func keptBySnapshots(e Estate, keeps map[spot]bool) (kept []digest.Digest) {
	digests := make(map[int64]digest.Digest, len(e.Images))
	for _, i := range e.Images {
		digests[i.ID] = i.Digest
	}
	for _, s := range e.Snapshots {
		if !keeps[spot{s.Repository, s.Commit}] {
			continue
		}
		for _, id := range s.Images {
			if d, ok := digests[id]; ok {
				kept = append(kept, d)
			}
		}
	}
	return kept
}

// keptByTags keeps what tags point at that stay: by the records, and by the
// registry itself. A tag that goes protects only what it was not recorded with.
// Of an image's key the tag is its own, and no reason to keep it.
func keptByTags(e Estate, listing Listing, going []TagDeletion, kept map[digest.Digest]bool) {
	type point struct{ repository, name string }
	goes := make(map[point]digest.Digest, len(going))
	for _, t := range going {
		goes[point{t.Repository, t.Name}] = t.Digest
	}
	for _, t := range e.Tags {
		if _, going := goes[point{t.Repository, t.Name}]; !going {
			kept[t.Digest] = true
		}
	}
	keys, images := map[string]bool{}, e.byDigest()
	for _, i := range e.Images {
		keys[pipeline.KeyTag(i.Key)] = true
	}
	for repository, tags := range listing {
		for name, target := range tags {
			if keys[name] || goes[point{repository, name}] == target.Digest {
				continue
			}
			for _, d := range append([]digest.Digest{target.Digest}, target.Holds...) {
				if image, ok := images[d]; ok {
					kept[image] = true
				}
			}
		}
	}
}

// keptByUse keeps what environments need. Pods of one that is gone may end
// somewhat later.
func keptByUse(e Estate, minAge time.Duration, kept map[digest.Digest]bool) {
	images := e.byDigest()
	for _, use := range e.Running {
		if image, ok := images[use.Digest]; ok && (use.Gone.IsZero() || e.Now.Sub(use.Gone) < minAge) {
			kept[image] = true
		}
	}
}

// byDigest finds the digests of images by their own and by those of the indexes
// that hold them.
func (e Estate) byDigest() map[digest.Digest]digest.Digest {
	images := make(map[digest.Digest]digest.Digest, len(e.Images))
	for _, i := range e.Images {
		images[i.Digest] = i.Digest
		if i.Index != "" {
			images[i.Index] = i.Digest
		}
	}
	return images
}

// keepParents keeps what kept images stand on, down to the lowest.
func keepParents(e Estate, kept map[digest.Digest]bool) {
	parents := map[digest.Digest][]digest.Digest{}
	for _, i := range e.Images {
		if i.Parent != "" {
			parents[i.Digest] = append(parents[i.Digest], i.Parent)
		}
	}
	var walk []digest.Digest
	for d := range kept {
		walk = append(walk, d)
	}
	for len(walk) > 0 {
		d := walk[len(walk)-1]
		walk = walk[:len(walk)-1]
		for _, parent := range parents[d] {
			if !kept[parent] {
				kept[parent] = true
				walk = append(walk, parent)
			}
		}
	}
}

// images are the digests that are not kept, children before what they stand on.
func (p Policy) images(e Estate, kept map[digest.Digest]bool) (gone []ImageDeletion) {
	homes := p.homes(e)
	last := map[int64]Snapshot{}
	for _, s := range e.Snapshots {
		for _, id := range s.Images {
			if before, ok := last[id]; !ok || before.Taken.Before(s.Taken) {
				last[id] = s
			}
		}
	}
	at := map[digest.Digest]int{}
	for _, i := range e.Images {
		if kept[i.Digest] {
			continue
		}
		n, known := at[i.Digest]
		if !known {
			n, at[i.Digest] = len(gone), len(gone)
			gone = append(gone, ImageDeletion{Digest: i.Digest, Why: "no tag, no commit to keep and no image refers to it"})
		}
		d := &gone[n]
		d.Images = append(d.Images, i)
		if s, ok := last[i.ID]; ok {
			d.Why = fmt.Sprintf("no tag, no commit to keep and no image refers to it; commit %s had it at %s", s.Commit.Short(), stamp(s.Taken))
		}
		for _, home := range homes[path.Base(i.Repository)] {
			if !slices.Contains(d.Repositories, home) {
				d.Repositories = append(d.Repositories, home)
			}
		}
	}
	// A parent was recorded before its child.
	slices.SortFunc(gone, func(a, b ImageDeletion) int { return int(newest(b) - newest(a)) })
	return gone
}

func newest(d ImageDeletion) (id int64) {
	for _, i := range d.Images {
		id = max(id, i.ID)
	}
	return id
}

// homes are the repositories of each layer name: an image may have been copied
// to that of the same layer in another namespace.
func (p Policy) homes(e Estate) map[string][]string {
	homes := map[string][]string{}
	add := func(repository string) {
		name := path.Base(repository)
		if !slices.Contains(homes[name], repository) {
			homes[name] = append(homes[name], repository)
		}
	}
	for _, i := range e.Images {
		add(p.Prefix + "/" + i.Repository)
	}
	for _, t := range e.Tags {
		if strings.HasPrefix(t.Repository, p.Prefix+"/") {
			add(t.Repository)
		}
	}
	return homes
}
