package layers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const someCommit Commit = "0123456789abcdef0123456789abcdef01234567"

// TestTagsByDefault is the tag convention of a file without "refs".
func TestTagsByDefault(t *testing.T) {
	const fortnight = 14 * 24 * time.Hour
	cases := map[Ref]TagSet{
		"refs/heads/main":             {Names: []string{"main", "main-0123456789ab"}},
		"refs/heads/master":           {Names: []string{"master", "master-0123456789ab"}},
		"refs/tags/v1.2":              {Names: []string{"v1.2"}, Immutable: true},
		"refs/tags/v1.2-rc1":          {Names: []string{"v1.2-rc1"}, Immutable: true},
		"refs/tags/spring-2026":       {Names: []string{"spring-2026"}, Immutable: true},
		"refs/heads/feature/x":        {Names: []string{"feature-x"}, TTL: fortnight},
		"refs/heads/feature/a-b":      {Names: []string{"feature-a-b"}, TTL: fortnight},
		"refs/heads/feature/a_b":      {Names: []string{"feature-a_b"}, TTL: fortnight},
		"refs/heads/feature/a/b":      {Names: []string{"feature-a-b-"}, TTL: fortnight},
		"refs/heads/experiment/x":     {Names: []string{"experiment-x"}, TTL: fortnight},
		"refs/heads/feature/x/../y":   {Names: []string{"feature-x-..-y-"}, TTL: fortnight},
		"refs/tags/main":              {Names: []string{"main-"}, Immutable: true},
		"refs/tags/feature/x":         {Names: []string{"feature-x-"}, Immutable: true},
		"refs/tags/feature-x":         {Names: []string{"feature-x-"}, Immutable: true},
		"refs/tags/main-0123456789ab": {Names: []string{"main-0123456789ab-"}, Immutable: true},
		"refs/tags/key-abc":           {Names: []string{"ref-key-abc-"}, Immutable: true},
		"refs/tags/v1+cuda12":         {Names: []string{"v1-cuda12-"}, Immutable: true},
	}
	for ref, want := range cases {
		got, ok := (&Config{}).TagsFor(ref, someCommit)
		if !ok {
			t.Errorf("%s is not built", ref)
			continue
		}
		for i, name := range got.Names { // a name that ends in "-" is one with a hash
			if i < len(want.Names) && strings.HasSuffix(want.Names[i], "-") && hashTail.MatchString(name) && strings.HasPrefix(name, want.Names[i]) {
				want.Names[i] = name
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, want %+v", ref, got, want)
		}
	}
	for _, ref := range []Ref{
		"", "main", "HEAD", "refs/heads", "refs/heads/", "refs/tags/", "refs/heads/dev", "refs/heads/mainx", "refs/heads/xmain",
		"refs/heads/main/x", "refs/heads/feature", "refs/heads/Feature/x", "refs/pull/1/head", "refs/remotes/origin/main",
		"refs/notes/commits", "xrefs/heads/main", "refs/heads/main\n", "refs/HEADS/main",
	} {
		if set, ok := (&Config{}).TagsFor(ref, someCommit); ok {
			t.Errorf("%q is built as %v", ref, set)
		}
	}
}

// TestTagsByRules plays rules against each other.
func TestTagsByRules(t *testing.T) {
	all := func(tags ...string) RefRule { return RefRule{Ref: "refs/heads/**", Tags: tags} }
	gitTags := RefRule{Ref: "refs/tags/**", Tags: []string{"{tag}"}}
	cases := []struct {
		name  string
		rules []RefRule
		want  map[Ref]string // a final "-" stands for a hash, "" for not built
	}{
		{"both kinds", []RefRule{all("{branch}"), gitTags}, map[Ref]string{
			"refs/heads/dev": "dev", "refs/tags/dev": "dev-", "refs/tags/v1.2": "v1.2", "refs/heads/v1.2": "v1.2-", "refs/heads/2026": "2026-", "refs/tags/2026": "2026",
			"refs/heads/main-0123456789ab": "main-0123456789ab-", "refs/heads/a/b": "a-b-", "refs/tags/a/b": "a-b-",
		}},
		{"order does not matter between kinds", []RefRule{gitTags, all("{branch}")}, map[Ref]string{
			"refs/heads/dev": "dev", "refs/tags/dev": "dev-", "refs/tags/v1.2": "v1.2", "refs/heads/v1.2": "v1.2-",
		}},
		{"fixed tags go first", []RefRule{all("{branch}"), {Ref: "refs/tags/release", Tags: []string{"latest", "x-{commit}"}}}, map[Ref]string{
			"refs/tags/release": "latest x-0123456789ab", "refs/heads/latest": "latest-", "refs/heads/x-0123456789ab": "x-0123456789ab-",
		}},
		{"prefix", []RefRule{{Ref: "refs/heads/ci/**", Tags: []string{"x-{branch}"}}, all("{branch}")}, map[Ref]string{
			"refs/heads/ci/a": "x-ci-a-", "refs/heads/x-a": "x-a",
		}},
		{"prefix that is contested", []RefRule{{Ref: "refs/heads/c*", Tags: []string{"x-{branch}"}}, all("{branch}")}, map[Ref]string{
			"refs/heads/ca": "x-ca", "refs/heads/x-ca": "x-ca-", "refs/heads/x-da": "x-da",
		}},
		{"two templates", []RefRule{all("{branch}", "{branch}-dev")}, map[Ref]string{
			"refs/heads/a": "a a-dev-", "refs/heads/a-dev": "a-dev a-dev-dev-",
		}},
		{"commits", []RefRule{all("{branch}", "{branch}-{commit}", "g{commit}-{branch}")}, map[Ref]string{
			"refs/heads/a": "a a-0123456789ab g0123456789ab-a-",
		}},
		{"no tags", []RefRule{{Ref: "refs/heads/bot/**"}, all("{branch}")}, map[Ref]string{
			"refs/heads/bot/x": "", "refs/heads/bot": "bot", "refs/tags/v1": "",
		}},
		{"stars", []RefRule{{Ref: "refs/heads/c/*/x", Tags: []string{"c.{branch}"}}, {Ref: "refs/heads/d/**/x", Tags: []string{"d.{branch}"}}}, map[Ref]string{
			"refs/heads/c/a/x": "c.c-a-x-", "refs/heads/c/a/b/x": "", "refs/heads/d/a/b/x": "d.d-a-b-x-", "refs/heads/d/x": "", "refs/heads/c/a/xy": "",
		}},
		{"own prefix", []RefRule{all("k{branch}")}, map[Ref]string{"refs/heads/ey-x": "ref-key-x-"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for ref, want := range c.want {
				set, ok := (&Config{Refs: c.rules}).TagsFor(ref, someCommit)
				for i, name := range set.Names {
					if hashTail.MatchString(name) {
						set.Names[i] = name[:len(name)-16]
					}
				}
				if got := strings.Join(set.Names, " "); got != want || ok != (want != "") {
					t.Errorf("%s gives %q, want %q", ref, got, want)
				}
			}
		})
	}
}

// hostileNames are names that somebody may give a branch to take another's tag.
func hostileNames(rounds int) []string {
	names := []string{
		"main", "Main", "MAIN", "master", "main-0123456789ab", "main-0123456789abcdef", "main-0123456789ab-0123456789ab",
		"feature/x", "feature-x", "Feature/x", "feature/X", "feature_x", "feature.x", "feature//x", "feature/x/", "/feature/x",
		"feature/a-b", "feature/a_b", "feature/a/b", "feature-a-b", "feature-a/b", "feature/a--b", "feature/a.b", "feature/feature/x", "feature/feature-x",
		"experiment/x", "experiment-x", "experiment/main", "key-0", "key-", "KEY-0", "ref-key-0", "v1.2", "v1", "1", "latest",
		"..", ".", "...", "-", "--", "-a", ".a", "_a", "a", "a.", "a-", "a..b", "a\x00b", "a\nb", "a b", "a\x1b[31mb", "a\u202eb", "ü", "ü", "日本", "\xff", "\xfe", "",
		"x/../../etc", "refs/heads/main", "ref", "a@{b", "a~1", "a^", "a:b",
		strings.Repeat("a", 111), strings.Repeat("a", 112), strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 4096), strings.Repeat("a/", 2048),
		"feature/" + strings.Repeat("a", 120), "feature/" + strings.Repeat("a", 121),
	}
	for range rounds { // and the slugs of all these
		for _, name := range slices.Clone(names) {
			names = append(names, Slug(name), "feature/"+Slug(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestSlugsDiffer holds that no two of the names have one slug.
func TestSlugsDiffer(t *testing.T) {
	taken := map[string]string{}
	for _, name := range hostileNames(2) {
		slug := Slug(name)
		if other, ok := taken[slug]; ok {
			t.Errorf("%q and %q have the slug %q", name, other, slug)
		}
		taken[slug] = name
		checkTag(t, name, slug)
	}
}

// TestSlugsOfShortNames holds the same for every name of up to four characters
// over an alphabet of the critical ones, behind every critical beginning.
func TestSlugsOfShortNames(t *testing.T) {
	taken := map[string]string{}
	var extend func(name string, left int)
	extend = func(name string, left int) {
		slug := Slug(name)
		if other, ok := taken[slug]; ok && other != name {
			t.Fatalf("%q and %q have the slug %q", name, other, slug)
		}
		taken[slug] = name
		for i := 0; left > 0 && i < len("a-/._ "); i++ {
			extend(name+"a-/._ "[i:i+1], left-1)
		}
	}
	for _, start := range []string{"", "feature", "experiment", "key", "a-0123456789a", "a-0123456789abcde"} {
		extend(start, 4)
	}
	if len(taken) < 9_000 {
		t.Errorf("only %d names", len(taken))
	}
}

// TestRefsNeverShareTags holds for hostile names, as branches and as Git tags,
// that no two refs have one tag, under several sets of rules.
func TestRefsNeverShareTags(t *testing.T) {
	heads := func(tags ...string) RefRule { return RefRule{Ref: "refs/heads/**", Tags: tags} }
	tags := func(tags ...string) RefRule { return RefRule{Ref: "refs/tags/**", Tags: tags} }
	main := RefRule{Ref: "refs/heads/main", Tags: []string{"latest", "v1", "{branch}-{commit}", "{branch}"}}
	for i, rules := range [][]RefRule{
		nil,
		{heads("{branch}", "{branch}-{commit}"), tags("{tag}", "{tag}-{commit}")},
		{tags("{tag}"), main, heads("{branch}")},
		{main, {Ref: "refs/heads/feature/**", Tags: []string{"{branch}", "a-{branch}"}}, heads("a{branch}", "feature-{branch}"), tags("feature-{tag}", "{tag}")},
		{heads("{branch}", "{branch}-dev", "a-{branch}"), tags("{tag}-dev", "a-{tag}")},
		{heads("{branch}{commit}", "{commit}{branch}", "k{branch}"), tags("ke{tag}", "{tag}0{commit}")},
	} {
		cfg := &Config{Refs: rules}
		taken := map[string]Ref{}
		for _, name := range hostileNames(1) {
			for _, ref := range []Ref{Ref("refs/heads/" + name), Ref("refs/tags/" + name)} {
				set, _ := cfg.TagsFor(ref, someCommit)
				for _, tag := range set.Names {
					if other, ok := taken[tag]; ok && other != ref {
						t.Errorf("rules %d: %q and %q have the tag %q", i, ref, other, tag)
					}
					taken[tag] = ref
					checkTag(t, string(ref), tag)
				}
			}
		}
		if len(taken) < 10 {
			t.Errorf("rules %d: only %d tags", i, len(taken))
		}
	}
}

func checkTag(t *testing.T, name, tag string) {
	t.Helper()
	if !tagPattern.MatchString(tag) || strings.HasPrefix(tag, "key-") {
		t.Errorf("%q has the tag %q", name, tag)
	}
}

// FuzzSlug holds that slugs are tags and that two names have two.
func FuzzSlug(f *testing.F) {
	names := hostileNames(1)
	for i, name := range names {
		f.Add(name, names[(i+1)%len(names)])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		checkTag(t, a, Slug(a))
		if a != b && Slug(a) == Slug(b) {
			t.Errorf("%q and %q have the slug %q", a, b, Slug(a))
		}
		if Slug(a) != a && Slug(Slug(a)) == Slug(a) {
			t.Errorf("%q and its slug %q share it", a, Slug(a))
		}
	})
}

// FuzzTagsFor holds the same for refs under rules, which are fuzzed too.
func FuzzTagsFor(f *testing.F) {
	f.Add("refs/heads/main", "refs/tags/main", "refs/heads/**", "{branch}", "refs/tags/**", "{tag}")
	f.Add("refs/heads/feature/x", "refs/heads/feature-x", "refs/heads/**", "{branch}-{commit}", "refs/heads/a*", "a{branch}")
	f.Add("refs/heads/a", "refs/heads/xa", "refs/heads/a", "x{branch}", "refs/heads/**", "{branch}")
	f.Add("refs/heads/main", "refs/heads/main-0123456789ab", "refs/heads/main", "{branch}-{commit}", "refs/heads/**", "{branch}")
	f.Add("refs/heads/a", "refs/heads/latest", "refs/heads/a", "latest", "refs/heads/**", "{branch}")
	f.Fuzz(func(t *testing.T, one, two, pattern1, template1, pattern2, template2 string) {
		text := fmt.Sprintf("layers: [{name: a, kind: base}]\nrefs:\n  - {ref: %q, tags: [%q]}\n  - {ref: %q, tags: [%q]}\n", pattern1, template1, pattern2, template2)
		cfg, err := ParseConfig(ConfigFile, []byte(text))
		if err != nil {
			cfg = &Config{}
		}
		first, _ := cfg.TagsFor(Ref(one), someCommit)
		second, _ := cfg.TagsFor(Ref(two), someCommit)
		for _, tag := range first.Names {
			checkTag(t, one, tag)
			if one != two && slices.Contains(second.Names, tag) {
				t.Errorf("%q and %q have the tag %q", one, two, tag)
			}
		}
	})
}
