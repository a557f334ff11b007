package forge

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

var update = flag.Bool("update", false, "write the wanted comments anew")

// TestComment holds the comments of a run's states.
func TestComment(t *testing.T) {
	building := report(agent.Building)
	building.Layers = append(building.Layers, agent.ReportedLayer{
		Name: "gpt", Step: layers.Build, Reasons: []layers.Reason{{Kind: layers.ReasonNew, Detail: "the layer is new"}, {Detail: "b"}, {Detail: "c"}, {Detail: "d"}, {Detail: "e"}},
	})
	overtaken := report(agent.Superseded)
	configuration := report(agent.Failed)
	configuration.Layers, configuration.Run.Reason = nil, "lab-layers.yaml:3:5: no such key: take it out"
	cases := map[string]agent.Report{
		"building": building, "succeeded": report(agent.Succeeded), "failed": report(agent.Failed),
		"superseded": overtaken, "configuration": configuration,
	}
	for name, r := range cases {
		wantText(t, name, comment(r, "https://labs.example/runs/42"))
	}
}

// attacks are what repositories and builds may say.
var attacks = []string{
	"@everyone look", "<script>alert(1)</script>", "<!-- lab-layers -->", "<img src=x onerror=y>", "`", "``", "```", "````\n# big\n````", "~~~",
	"](https://evil.example)", "[a](b)", "![a](https://evil.example/p.png)", "a | b | c", `\`, `\|`, "|\n| --- |", "\n\n# heading\n", "\r\n/close\r\n", "#1 !2 ~3 &4 $5",
	"https://evil.example", "www.evil.example", "\x1b[31mred\x00", "\u202egnp.exe", "\u2066", "\xff\xfe", "</code></pre><h1>", strings.Repeat("`", 5000), strings.Repeat("x@y<", 100_000),
	":tada:", "<details>", "&lt;b&gt;", "$$x$$", "{{ x }}", "\u2028@all\u2029",
}

var span = regexp.MustCompile("`[^`\n]*`")

// unfenced leaves out fenced blocks, as CommonMark finds their ends; open says
// that the last one has none.
func unfenced(text string) (rest string, blocks int, open bool) {
	fence := ""
	for line := range strings.Lines(text) {
		bare := strings.TrimSuffix(line, "\n")
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = strings.TrimSuffix(bare, "text")
			blocks++
		case fence == "":
			rest += line
		case strings.HasPrefix(strings.TrimLeft(bare, " "), fence) && strings.Trim(bare, "` ") == "":
			fence = ""
		}
	}
	return rest, blocks, fence != ""
}

// TestHostileComment puts hostile text wherever text from repositories and
// builds goes, and finds nothing of it outside of code.
func TestHostileComment(t *testing.T) {
	for _, attack := range attacks {
		r := report(agent.Failed)
		r.Run.Move.Ref = layers.Ref("refs/heads/" + attack)
		r.Run.Reason = attack
		bert := &r.Layers[2]
		bert.Name = layers.Name(attack)
		bert.Reasons = []layers.Reason{{Detail: attack}, {Detail: attack + attack}}
		bert.Error = &agent.Failure{Text: attack, File: attack, Line: 3, Instruction: attack, Tail: []string{attack, "```", attack}}
		noLayer := r
		noLayer.Layers = nil
		cancelled := report(agent.Cancelled)
		cancelled.Run.Reason = attack
		building := report(agent.Building)
		building.Layers[2].Name, building.Layers[2].Reasons = layers.Name(attack), bert.Reasons
		for _, r := range []agent.Report{r, noLayer, cancelled, building} {
			text := comment(r, "")
			if !strings.HasPrefix(text, mark+"\n") {
				t.Fatalf("%q: it begins with %.40q", attack, text)
			}
			if len(text) > 60_000 {
				t.Errorf("%.20q: a comment of %d bytes", attack, len(text))
			}
			rest := strings.TrimPrefix(text, mark)
			rest, blocks, open := unfenced(rest)
			if open || blocks != map[bool]int{true: 1}[r.Failed() != nil] {
				t.Errorf("%.20q: %d blocks, the last one open: %v", attack, blocks, open)
			}
			rows := 0
			for line := range strings.Lines(rest) {
				if strings.HasPrefix(line, "|") {
					rows++
					if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); n != 6 {
						t.Errorf("%.20q: a row of %d cells: %s", attack, n-1, line)
					}
				}
			}
			if r.Layers != nil && rows != 3 {
				t.Errorf("%.20q: %d rows", attack, rows)
			}
			rest = span.ReplaceAllString(rest, "")
			if strings.ContainsAny(rest, "`@<>\x00\x1b\\\r#[") || strings.Contains(rest, "://") || strings.Contains(rest, "www.") || strings.Contains(rest, "evil") {
				t.Errorf("%.20q is outside of code: %q", attack, rest)
			}
			for _, raw := range []string{"@everyone", "<script", "<img", "</code", "<details", "\u202e", "\u2066", "\x1b", "\x00"} {
				if strings.Contains(strings.TrimPrefix(text, mark), raw) {
					t.Errorf("%.20q: %q stands as it was", attack, raw)
				}
			}
		}
		for _, s := range []agent.State{agent.Failed, agent.Cancelled, agent.Building} {
			r.Run.State = s
			if d := describe(r); len([]rune(d)) > maxDescription || strings.ContainsAny(d, "\n\r\x00\x1b\u202e") {
				t.Errorf("%.20q is described as %q", attack, d)
			}
		}
		if c := statusContext(r.Run.Move.Ref); len([]rune(c)) > maxContext || strings.ContainsAny(c, "\n\x00\x1b") {
			t.Errorf("%.20q has the context %q", attack, c)
		}
	}
}

// gitlabCode is what GitLab looks for no commands in: the pattern of its quick
// actions, which knows fences of three backticks alone.
var gitlabCode = regexp.MustCompile("(?ms)^```.+?\n```$")

// TestNoCommands holds that no line of a build's output is a command to GitLab.
func TestNoCommands(t *testing.T) {
	r := report(agent.Failed)
	for _, fence := range []string{"```", "````", "`````", "~~~", "```text", " ```"} {
		r.Layers[2].Error.Tail = append(r.Layers[2].Error.Tail, fence, "/close", fence)
	}
	text := comment(r, "")
	if rest := gitlabCode.ReplaceAllString(text, ""); !strings.Contains(text, "\n/close\n") || strings.Contains(rest, "/close") {
		t.Errorf("commands are left of\n%s\nin\n%s", text, rest)
	}
}

// TestStatusContexts holds that each ref has a context of its own.
func TestStatusContexts(t *testing.T) {
	long := strings.Repeat("x", 200)
	refs := []layers.Ref{
		"refs/heads/main", "refs/heads/ma\u200bin", "refs/heads/ma\u202ein", "refs/heads/main\u00a0", "refs/heads/refs/heads/main",
		"refs/tags/main", "refs/heads/refs/tags/main", "refs/heads/ma\xffin", "refs/heads/ma\xfein", "refs/heads/ma\ufffdin",
		layers.Ref("refs/heads/" + long + "1"), layers.Ref("refs/heads/" + long + "2"),
	}
	of := map[string]layers.Ref{}
	for _, ref := range refs {
		c := statusContext(ref)
		if other, there := of[c]; there || len([]rune(c)) > maxContext {
			t.Errorf("%q has the context %q of %q", ref, c, other)
		}
		of[c] = ref
	}
	if of["lab-layers/main"] != "refs/heads/main" || of["lab-layers/refs/tags/main"] != "refs/tags/main" {
		t.Errorf("%v", of)
	}
}

// TestLongComment bounds what is told of many layers.
func TestLongComment(t *testing.T) {
	r := report(agent.Failed)
	bert := r.Layers[2]
	bert.Reasons = []layers.Reason{{Detail: strings.Repeat("é", 500)}, {Detail: strings.Repeat("é", 500)}, {Detail: strings.Repeat("é", 500)}}
	for range 1000 {
		bert.Error.Tail = append(bert.Error.Tail, strings.Repeat("ü", 5000))
		r.Layers = append(r.Layers, bert)
	}
	text := comment(r, "")
	if n := len([]rune(text)); n > 60_000 {
		t.Errorf("a comment of %d characters", n)
	}
	if !strings.Contains(text, "and 951 more") {
		t.Error("it does not say how much is left out")
	}
	if d := describe(r); !strings.HasSuffix(d, "(and 1000 more)") {
		t.Errorf("described as %q", d)
	}
}

// TestParseProject finds a project by any URL that a repository may have.
func TestParseProject(t *testing.T) {
	for _, c := range []struct{ url, prefix, host, project string }{
		{"https://github.com/uni/lab.git", "", "github.com", "uni/lab"},
		{"https://github.com/uni/lab/", "", "github.com", "uni/lab"},
		{"git@GitHub.com:uni/lab.git", "", "github.com", "uni/lab"},
		{"ssh://git@git.example.org:2222/uni/lab.git", "", "git.example.org", "uni/lab"},
		{"https://git.example.org/gitlab/cs/ai/lab.git", "/gitlab/", "git.example.org", "cs/ai/lab"},
		{"git@git.example.org:cs/ai/lab", "/gitlab", "git.example.org", "cs/ai/lab"},
		{"git@[::1]:uni/lab", "", "::1", "uni/lab"},
		{"/srv/git/lab.git", "", "", ""},
		{"file:///srv/git/lab.git", "", "", ""},
		{"https://github.com/lab.git", "", "", ""},
		{"https://github.com/", "", "", ""},
		{"https://github.com/../../lab", "", "", ""},
	} {
		p, err := ParseProject(c.url, c.prefix)
		if c.project == "" {
			if err == nil {
				t.Errorf("%s is %v", c.url, p)
			}
			continue
		}
		if err != nil || p.Host != c.host || p.String() != c.project {
			t.Errorf("%s is %v on %s, %v", c.url, p, p.Host, err)
		}
	}
}

// TestForgeURLs refuses URLs that lead nowhere, or show a secret.
func TestForgeURLs(t *testing.T) {
	for name, f := range forges {
		for _, url := range []string{"", "git.example.org", "ftp://git.example.org", "https://", "https://user:hush@git.example.org", "https://git.example.org?token=hush", "https://git.example.org#x", ":"} {
			if _, err := f.open(Options{URL: url}); err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s at %q: %v", name, url, err)
			}
		}
	}
}
