package postgres

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func TestHistory(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "os", "torch", "bert", "gpt")
	build(t, s, "refs/heads/main", "a", "b", map[string]string{"bert": "2"}, "bert")
	build(t, s, "refs/tags/v1", "", "b", map[string]string{"bert": "2"})
	for _, c := range []struct {
		name   string
		filter HistoryFilter
		want   string
	}{
		{"everything", HistoryFilter{}, "3 os reused, 3 torch reused, 3 bert reused, 3 gpt reused, 2 os reused, 2 torch reused, 2 bert built, 2 gpt reused, 1 os built, 1 torch built, 1 bert built, 1 gpt built"},
		{"a layer", HistoryFilter{Layer: "bert"}, "3 bert reused, 2 bert built, 1 bert built"},
		{"a branch", HistoryFilter{Layer: "bert", Ref: "main"}, "2 bert built, 1 bert built"},
		{"a ref", HistoryFilter{Layer: "gpt", Ref: "refs/tags/v1", Repository: labURL}, "3 gpt reused"},
		{"the newest", HistoryFilter{Limit: 2}, "3 os reused, 3 torch reused"},
		{"another repository", HistoryFilter{Repository: "https://git.example/other.git"}, ""},
	} {
		var got []string
		for _, e := range must[[]agent.HistoryEntry](t)(s.History(t.Context(), c.filter)) {
			got = append(got, strings.Join([]string{string('0' + rune(e.Run)), string(e.Layer), string(e.State)}, " "))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s", c.name, strings.Join(got, ", "))
		}
	}
	e := must[[]agent.HistoryEntry](t)(s.History(t.Context(), HistoryFilter{Layer: "bert", Ref: "main", Limit: 1}))[0]
	if e.Commit != commit("b") || e.PreviousCommit != commit("a") || e.Ref != "refs/heads/main" || e.Repository != labURL ||
		e.Seconds != 1.5 || e.Key != key("bert2") || e.Digest != sum("image bert2") || e.Image != "registry.example/lab/bert@"+string(e.Digest) ||
		e.Base.Digest != sum("image torch") || e.Reasons[0].Detail != "bert/train.py changed" || e.ChangedPaths[0] != "bert/train.py" ||
		e.RebuildFrom.Line != 3 || e.Error != nil || e.Time.IsZero() {
		t.Errorf("the entry is %+v", e)
	}
}

func TestTraceImage(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "os", "torch", "bert", "gpt")
	build(t, s, "refs/heads/main", "a", "b", map[string]string{"bert": "2"}, "bert")
	build(t, s, "refs/heads/feature", "", "b", map[string]string{"bert": "2"})
	d := string(sum("image bert2"))
	for _, query := range []string{
		d, strings.TrimPrefix(d, "sha256:"), d[:14], d[7:14], strings.ToUpper(d[7:14]), "anything@" + d,
		string(key("bert2")), string(key("bert2"))[7:17], "bert:main", "registry.example/lab/bert:main", "lab/bert:main",
	} {
		trace, err := s.Trace(t.Context(), query)
		if err != nil {
			t.Error(err)
			continue
		}
		if trace.Kind != TracedImage || len(trace.Images) != 1 || string(trace.Images[0].Digest) != d {
			t.Errorf("%s is %+v", query, trace)
		}
	}
	i := must[*Trace](t)(s.Trace(t.Context(), "bert:main")).Images[0]
	if i.Layer != "bert" || i.FrameworkType != "pytorch" || i.GPUDriver != "525.60.13" || len(i.Blobs) != 3 || !i.Lost.IsZero() || i.Published.IsZero() {
		t.Errorf("bert is %+v", i)
	}
	chain := []Link{
		{Base: agent.Base{Name: "registry.example/lab/torch", Digest: sum("image torch")}, Layer: "torch"},
		{Base: agent.Base{Name: "registry.example/lab/os", Digest: sum("image os")}, Layer: "os"},
		{Base: agent.Base{Name: "docker.io/library/debian:12", Digest: sum("debian")}, Outside: true},
	}
	if !slices.Equal(i.Chain, chain) {
		t.Errorf("bert stands on %+v", i.Chain)
	}
	if len(i.Snapshots) != 1 || i.Snapshots[0].Commit != commit("b") || len(i.Snapshots[0].LayerHash) != 1 ||
		!slices.Equal(i.Snapshots[0].Refs, []layers.Ref{"refs/heads/feature", "refs/heads/main"}) {
		t.Errorf("bert is in %+v", i.Snapshots)
	}
	if i.BuiltBy == nil || i.BuiltBy.Run != 2 || i.BuiltBy.Commit != commit("b") {
		t.Errorf("bert was built by %+v", i.BuiltBy)
	}
	if len(i.Tags) != 1 || i.Tags[0].Name != "main" || i.Tags[0].Ref != "refs/heads/feature" {
		t.Errorf("bert has the tags %+v", i.Tags)
	}
}

func names(standing []Standing) string {
	var all []string
	for _, s := range standing {
		all = append(all, strings.TrimPrefix(s.Repository, "registry.example/lab/"))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestStandingOn(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	build(t, s, "refs/heads/main", "a", "b", map[string]string{"torch": "2", "bert": "2", "gpt": "2"})
	for query, want := range map[string]string{
		"os:main":                         "bert bert gpt gpt torch torch",
		string(sum("image torch2")):       "bert gpt",
		"gpt:main":                        "",
		"docker.io/library/debian:12":     "bert bert gpt gpt os torch torch",
		"debian:12":                       "bert bert gpt gpt os torch torch",
		string(sum("debian")):             "bert bert gpt gpt os torch torch",
		string(sum("debian"))[7:15]:       "bert bert gpt gpt os torch torch",
		"debian@" + string(sum("debian")): "bert bert gpt gpt os torch torch",
	} {
		trace, err := s.Trace(t.Context(), query)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := names(trace.StandingOn); got != want {
			t.Errorf("on %s stand %s", query, got)
		}
		if outside := strings.Contains(query, "debian") || strings.HasPrefix(string(sum("debian")), "sha256:"+query); outside && (trace.Kind != TracedOutside || trace.Outside[0].Digest != sum("debian")) {
			t.Errorf("%s is %+v", query, trace)
		}
	}
	top := must[*Trace](t)(s.Trace(t.Context(), "torch:main")).StandingOn[0] // the newest
	if len(top.Tags) != 1 || top.Parent != sum("image torch2") {
		t.Errorf("on top is %+v", top)
	}
	// Images that claim to stand on each other.
	a, b := image("a", "", nil), image("b", "", nil)
	a.Parent, b.Parent = b.Digest, a.Digest
	must[pipeline.Image](t)(s.Publish(t.Context(), a))
	must[pipeline.Image](t)(s.Publish(t.Context(), b))
	trace := must[*Trace](t)(s.Trace(t.Context(), string(a.Digest)))
	if names(trace.StandingOn) != "a b" || len(trace.Images[0].Chain) > 100 {
		t.Errorf("the circle is %+v", trace)
	}
	// One on an image that could not be looked up.
	c := image("c", "", nil)
	c.Parent, c.ParentRef = "", "nvidia/cuda:12.4.1-base"
	must[pipeline.Image](t)(s.Publish(t.Context(), c))
	if got := names(must[*Trace](t)(s.Trace(t.Context(), "nvidia/cuda:12.4.1-base")).StandingOn); got != "c" {
		t.Errorf("on an image without a digest stand %s", got)
	}
}

func TestTraceCommit(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	for _, query := range []string{string(commit("a")), string(commit("a"))[:6]} {
		trace := must[*Trace](t)(s.Trace(t.Context(), query))
		if trace.Kind != TracedCommit || len(trace.Images) != 4 || trace.Images[2].Layer != "bert" {
			t.Errorf("%s is %+v", query, trace)
		}
	}
}

func TestTraceErrors(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil)
	twin := image("twin", "", nil)
	twin.Digest = sum("image os")[:20] + sum("x")[20:]
	must[pipeline.Image](t)(s.Publish(t.Context(), twin))
	var ambiguous *AmbiguousError
	_, err := s.Trace(t.Context(), string(twin.Digest)[7:20])
	if !errors.As(err, &ambiguous) || len(ambiguous.Candidates) != 2 || !strings.Contains(err.Error(), "registry.example/lab/twin@"+string(twin.Digest)) {
		t.Errorf("the twins: %v", err)
	}
	for _, query := range []string{"", "abcde", "abcdef123456", "sha256:", "bert:none", "none:main", "ubuntu:24.04", "x\x00y", "'; drop table images; --", "%", "bert%:main"} {
		if _, err := s.Trace(t.Context(), query); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", query, err)
		}
	}
	if _, err := s.Trace(t.Context(), string(sum("image os"))[7:12]); err == nil || !strings.Contains(err.Error(), "at least 6 digits") {
		t.Errorf("five digits: %v", err)
	}
	// Tags of one name in two registries.
	other := image("bert", "elsewhere", nil)
	other.Repository = "elsewhere.example/bert"
	must[pipeline.Image](t)(s.Publish(t.Context(), other))
	push(t, s, "refs/heads/main", "a", "b")
	run := mustClaim(t, s, "one")
	v := verdict(run, []pipeline.Image{other})
	if err := s.Finish(t.Context(), run, v); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trace(t.Context(), "bert:main"); !errors.As(err, &ambiguous) || !strings.Contains(err.Error(), "elsewhere.example/bert:main") {
		t.Errorf("two tags: %v", err)
	}
	if trace := must[*Trace](t)(s.Trace(t.Context(), "elsewhere.example/bert:main")); trace.Images[0].Digest != other.Digest {
		t.Errorf("the full name is %s", trace.Images[0].Digest)
	}
}

// TestTraceLost keeps the record of an image that the registry has lost.
func TestTraceLost(t *testing.T) {
	s := newStore(t)
	v := build(t, s, "refs/heads/main", "", "a", nil)
	bert := v.Snapshot.Images["bert"]
	if err := s.Forget(t.Context(), bert.Key, bert.Digest); err != nil {
		t.Fatal(err)
	}
	trace := must[*Trace](t)(s.Trace(t.Context(), string(bert.Digest)))
	if trace.Images[0].Lost.IsZero() || len(trace.Images[0].Snapshots) != 1 {
		t.Errorf("the lost image is %+v", trace.Images[0])
	}
	if e := must[[]agent.HistoryEntry](t)(s.History(t.Context(), HistoryFilter{Layer: "bert"})); e[0].Digest != bert.Digest {
		t.Errorf("history has %+v", e)
	}
}

// TestJSON holds the names that programs rely on.
func TestJSON(t *testing.T) {
	s := newStore(t)
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	for name, c := range map[string]struct {
		v    any
		want []string
	}{
		"trace": {must[*Trace](t)(s.Trace(t.Context(), "bert:main")),
			[]string{`"query"`, `"kind":"image"`, `"images":[`, `"standing_on":[]`, `"digest"`, `"framework_type"`, `"gpu_driver_ver"`, `"layer_hash"`, `"chain"`, `"built_by"`, `"outside":true`}},
		"history":  {must[[]agent.HistoryEntry](t)(s.History(t.Context(), HistoryFilter{})), []string{`"layer":"bert"`, `"reasons":[{`, `"seconds":1.5`, `"base_image":{`}},
		"runs":     {must[[]agent.RunSummary](t)(s.Runs(t.Context(), 0)), []string{`"id":1`, `"state":"succeeded"`, `"built":1`, `"reused":3`}},
		"snapshot": {must[*agent.Snapshot](t)(s.Snapshot(t.Context(), 1, commit("a"))), []string{`"commit"`, `"complete":true`, `"bert":{`}},
	} {
		text, err := json.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s: %s", name, want, text)
			}
		}
		if strings.Contains(string(text), "null") {
			t.Errorf("%s has a null: %s", name, text)
		}
	}
}
