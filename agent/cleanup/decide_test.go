package cleanup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const (
	main    layers.Ref = "refs/heads/main"
	feature layers.Ref = "refs/heads/feature/x"
	day                = 24 * time.Hour
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func sum(name string) digest.Digest { return digest.FromString(name) }

func commit(name string) layers.Commit { return layers.Commit(sum(name).Encoded()[:40]) }

// history is a lab whose right answer is known. Its base has the images os1 and
// os2, and bert has one for each commit: a to c of main, on os1 and then os2,
// and f of a branch.
type history struct {
	Estate
	Listing
}

const registry = "registry.example/lab"

func newHistory() *history {
	h := &history{Estate: Estate{Now: now}, Listing: Listing{registry + "/os": {}, registry + "/bert": {}}}
	h.image(1, "os", "os1", "")
	h.image(2, "bert", "bert-a", "os1")
	h.image(3, "bert", "bert-b", "os1")
	h.image(4, "os", "os2", "")
	h.image(5, "bert", "bert-c", "os2")
	h.image(6, "bert", "bert-f", "os2")
	h.snapshot("a", 1, 2).Turns = map[layers.Ref]int{main: 2}
	h.snapshot("b", 1, 3).Turns = map[layers.Ref]int{main: 1}
	h.snapshot("c", 4, 5).Turns = map[layers.Ref]int{main: 0}
	h.find("c").Heads = []layers.Ref{main}
	h.snapshot("f", 4, 6)
	for _, c := range []string{"a", "b", "c"} {
		h.tag("bert", "main-"+commit(c).Short(), "bert-"+c, main, c)
	}
	h.tag("bert", "main", "bert-c", main, "c")
	f := h.tag("bert", "feature-x", "bert-f", feature, "f")
	f.Expires, f.Gone = now.Add(day), ago(2*time.Hour)
	return h
}

func (h *history) image(id int64, layer, name, parent string) {
	i := Image{ID: id, Key: layers.Key(sum("key " + name)), Repository: layer, Digest: sum(name), Since: ago(100 * day), Size: 10}
	if parent != "" {
		i.Parent = sum(parent)
	}
	h.Images = append(h.Images, i)
	h.Listing[registry+"/"+layer][pipeline.KeyTag(i.Key)] = Target{Digest: i.Digest}
}

func (h *history) snapshot(c string, images ...int64) *Snapshot {
	h.Snapshots = append(h.Snapshots, Snapshot{Repository: 1, Commit: commit(c), Taken: ago(90 * day), Images: images})
	return h.find(c)
}

func (h *history) find(c string) *Snapshot {
	i := slices.IndexFunc(h.Snapshots, func(s Snapshot) bool { return s.Commit == commit(c) })
	return &h.Snapshots[i]
}

func (h *history) tag(layer, name, image string, ref layers.Ref, c string) *Tag {
	t := Tag{Repository: registry + "/" + layer, Name: name, Digest: sum(image), Of: 1, Ref: ref, Commit: commit(c), Moved: ago(90 * day)}
	h.Tags = append(h.Tags, t)
	h.Listing[t.Repository][name] = Target{Digest: t.Digest}
	return &h.Tags[len(h.Tags)-1]
}

func (h *history) recorded(name string) *Tag {
	i := slices.IndexFunc(h.Tags, func(t Tag) bool { return t.Name == name })
	return &h.Tags[i]
}

func TestDecide(t *testing.T) {
	dated := func(c string) string { return "main-" + commit(c).Short() }
	for _, c := range []struct {
		name   string
		last   int
		change func(*history)
		tags   string
		images string
	}{
		{name: "the branch is gone", last: 20, tags: "feature-x", images: "bert-f"},
		{name: "one commit of main", last: 1, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b bert-a os1"},
		{name: "a parent under a kept child", last: 2, tags: dated("a") + " feature-x", images: "bert-f bert-a"},
		{name: "none of main but where it is", last: 0, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b bert-a os1"},
		{name: "an environment runs an old one", last: 1, change: func(h *history) {
			h.Running = []Use{{Digest: sum("bert-a")}, {Digest: sum("another registry's")}}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b"},
		{name: "an environment runs an old one with its attestations", last: 1, change: func(h *history) {
			h.Images[1].Index = sum("index of bert-a")
			h.Running = []Use{{Digest: sum("index of bert-a")}}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b"},
		{name: "an environment that ran it is just gone", last: 1, change: func(h *history) {
			h.Running = []Use{{Digest: sum("bert-a"), Gone: ago(time.Hour)}}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b"},
		{name: "an environment that ran it is long gone", last: 1, change: func(h *history) {
			h.Running = []Use{{Digest: sum("bert-a"), Gone: ago(30 * day)}}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b bert-a os1"},
		{name: "the branch was deleted just now", last: 20, change: func(h *history) { h.recorded("feature-x").Gone = ago(time.Minute) }},
		{name: "the branch is there", last: 20, change: func(h *history) {
			h.recorded("feature-x").Gone = time.Time{}
			h.find("f").Heads = []layers.Ref{feature}
		}},
		{name: "the branch is there, its tag expired", last: 20, change: func(h *history) {
			h.recorded("feature-x").Gone = time.Time{}
			h.recorded("feature-x").Expires = now
			h.find("f").Heads = []layers.Ref{feature}
		}, tags: "feature-x"},
		{name: "the image is young", last: 20, change: func(h *history) { h.Images[5].Since = ago(time.Hour) }, tags: "feature-x"},
		{name: "a run has just had the image", last: 20, change: func(h *history) { h.find("f").Taken = ago(time.Hour) }, tags: "feature-x"},
		{name: "a run of the commit waits", last: 20, change: func(h *history) { h.find("f").Waiting = true }, tags: "feature-x"},
		{name: "a person's tag", last: 20, change: func(h *history) {
			h.Listing[registry+"/bert"]["thesis"] = Target{Digest: sum("bert-f")}
		}, tags: "feature-x"},
		{name: "a person's tag on the only child", last: 1, change: func(h *history) {
			h.Listing[registry+"/bert"]["thesis"] = Target{Digest: sum("bert-a")}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b"},
		{name: "a person's index", last: 20, change: func(h *history) {
			h.Listing[registry+"/bert"]["thesis"] = Target{Digest: sum("index"), Holds: []digest.Digest{sum("other"), sum("bert-f")}}
		}, tags: "feature-x"},
		{name: "a tag on the image's attestations", last: 20, change: func(h *history) {
			h.Images[5].Index = sum("attested")
			h.Listing[registry+"/bert"]["thesis"] = Target{Digest: sum("attested")}
		}, tags: "feature-x"},
		{name: "another installation's key", last: 20, change: func(h *history) {
			h.Listing[registry+"/bert"]["key-1234"] = Target{Digest: sum("bert-f")}
		}, tags: "feature-x"},
		{name: "a tag that somebody moved", last: 20, change: func(h *history) {
			h.Listing[registry+"/bert"]["feature-x"] = Target{Digest: sum("bert-a")}
		}, tags: "feature-x", images: "bert-f"},
		{name: "a tag that somebody moved to what would go", last: 1, change: func(h *history) {
			h.Listing[registry+"/bert"]["feature-x"] = Target{Digest: sum("bert-a")}
		}, tags: dated("a") + " " + dated("b") + " feature-x", images: "bert-f bert-b"},
		// Two tags on one digest: the one that goes must not take the other along.
		{name: "main has the image, too", last: 20, change: func(h *history) {
			h.recorded("main").Digest = sum("bert-f")
			h.Listing[registry+"/bert"]["main"] = Target{Digest: sum("bert-f")}
		}, tags: "feature-x"},
		// One digest under two keys goes when neither is needed.
		{name: "another key of the digest is needed", last: 20, change: func(h *history) {
			h.image(7, "bert", "bert-f", "os2")
			h.Images[6].Key = "sha256:other"
			h.find("c").Images = append(h.find("c").Images, 7)
		}, tags: "feature-x"},
		{name: "the commit never had a snapshot", last: 20, change: func(h *history) {
			h.tag("bert", dated("z"), "bert-z", main, "z")
		}, tags: "feature-x " + dated("z"), images: "bert-f"},
		{name: "a Git tag that reads like a commit", last: 20, change: func(h *history) {
			h.tag("bert", dated("z"), "bert-f", "refs/tags/z", "z")
		}, tags: "feature-x"},
		{name: "another registry's tags", last: 20, change: func(h *history) {
			h.recorded("feature-x").Repository = "registry.example/labour/bert"
		}},
	} {
		h := newHistory()
		if c.change != nil {
			c.change(h)
		}
		p := Policy{Prefix: registry, Last: c.last, MinAge: day, Grace: time.Hour}
		got := Decide(h.Estate, h.Listing, p)
		var tags, images []string
		for _, gone := range got.Tags {
			tags = append(tags, gone.Name)
		}
		names := map[digest.Digest]string{}
		for _, name := range []string{"os1", "os2", "bert-a", "bert-b", "bert-c", "bert-f"} {
			names[sum(name)] = name
		}
		for _, gone := range got.Images {
			images = append(images, names[gone.Digest])
			if gone.Why == "" || len(gone.Repositories) != 1 {
				t.Errorf("%s: %+v", c.name, gone)
			}
		}
		slices.Sort(tags)
		want := strings.Fields(c.tags)
		slices.Sort(want)
		if !slices.Equal(tags, want) || strings.Join(images, " ") != c.images {
			t.Errorf("%s: tags %q and images %q go", c.name, tags, images)
		}
		// The registry's own tags protect only.
		less := Decide(h.Estate, nil, p)
		for _, gone := range got.Images {
			if !slices.ContainsFunc(less.Images, func(d ImageDeletion) bool { return d.Digest == gone.Digest }) {
				t.Errorf("%s: %s goes only with the listing", c.name, names[gone.Digest])
			}
		}
	}
}

// TestDecideCopies holds that an image goes from every repository that may have
// a copy, and that the listing of any of them protects it.
func TestDecideCopies(t *testing.T) {
	h := newHistory()
	h.Listing[registry+"/ml/bert"] = map[string]Target{}
	h.tag("ml/bert", "main", "bert-c", main, "c")
	p := Policy{Prefix: registry, Last: 20, MinAge: day, Grace: time.Hour}
	got := Decide(h.Estate, h.Listing, p)
	if want := "[" + registry + "/bert " + registry + "/ml/bert]"; len(got.Images) != 1 || fmt.Sprint(got.Images[0].Repositories) != want {
		t.Errorf("%+v", got.Images)
	}
	h.Listing[registry+"/ml/bert"]["thesis"] = Target{Digest: sum("bert-f")}
	if got := Decide(h.Estate, h.Listing, p); len(got.Images) != 0 {
		t.Errorf("%+v", got.Images)
	}
}
