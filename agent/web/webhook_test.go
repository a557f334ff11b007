package web

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

const (
	githubLab = "https://github.com/lab/images"
	gitlabLab = "ssh://gitlab.example.org/lab/images.git"
	giteaLab  = "https://git.example.org/lab/images.git"
	plainLab  = "/srv/git/images.git"
	secret    = "all-of-them"
	ownSecret = "gitea-alone"
)

func withSecrets(o *Options) {
	o.Repositories = []string{githubLab, gitlabLab, giteaLab, plainLab}
	o.Secrets = []Secret{{Value: secret}, {Repository: giteaLab, Value: ownSecret}}
}

// sender makes the headers of a delivery as a forge does.
func sender(forge, event, secret string, body []byte) map[string]string {
	hexed := hex.EncodeToString(mac(secret, body))
	h := map[string]string{"Content-Type": "application/json"}
	switch forge {
	case "github":
		maps.Copy(h, map[string]string{"X-GitHub-Event": event, "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-Hub-Signature-256": "sha256=" + hexed})
	case "gitlab":
		maps.Copy(h, map[string]string{"X-Gitlab-Event": event, "X-Gitlab-Token": secret})
	case "gitea":
		maps.Copy(h, map[string]string{"X-Gitea-Event": event, "X-Gitea-Signature": hexed})
	case "forgejo":
		maps.Copy(h, map[string]string{"X-Forgejo-Event": event, "X-Forgejo-Signature": hexed})
	case "gitea-as-github":
		maps.Copy(h, map[string]string{"X-GitHub-Event": event, "X-Hub-Signature-256": "sha256=" + hexed})
	case "generic":
		maps.Copy(h, map[string]string{"X-Signature-256": Sign(secret, body)})
	}
	return h
}

func TestDeliveries(t *testing.T) {
	s := newSite(t, withSecrets)
	generic := func(repository string) string { return fmt.Sprintf(`{"repository": %q}`, repository) }
	for _, c := range []struct {
		name, path, forge, event, secret string
		body                             string // a file, or JSON
		status                           int
		wakes                            string
	}{
		{"GitHub: a push", "github", "github", "push", secret, "github-push.json", 202, githubLab},
		{"GitHub: a new branch", "github", "github", "create", secret, "github-delete.json", 202, githubLab},
		{"GitHub: a branch that goes", "github", "github", "delete", secret, "github-delete.json", 202, githubLab},
		{"GitHub: a ping", "github", "github", "ping", secret, "github-ping.json", 204, ""},
		{"GitHub: a star", "github", "github", "star", secret, "github-ping.json", 204, ""},
		{"GitHub: forged", "github", "github", "push", "guess", "github-push.json", 401, ""},
		{"GitHub: with another repository's secret", "github", "github", "push", ownSecret, "github-push.json", 401, ""},
		{"GitHub: no push", "github", "github", "push", secret, `[1]`, 400, ""},
		{"GitHub: forged, and no JSON", "github", "github", "push", "guess", `{`, 401, ""},
		{"GitHub: another repository", "github", "github", "push", secret, `{"repository":{"clone_url":"https://github.com/lab/other.git"}}`, 404, ""},
		{"GitHub: another repository, forged", "github", "github", "push", "guess", `{"repository":{"clone_url":"https://github.com/lab/other.git"}}`, 401, ""},
		{"GitLab: a push", "gitlab", "gitlab", "Push Hook", secret, "gitlab-push.json", 202, gitlabLab},
		{"GitLab: a tag", "gitlab", "gitlab", "Tag Push Hook", secret, "gitlab-push.json", 202, gitlabLab},
		{"GitLab: of the whole site", "gitlab", "gitlab", "System Hook", secret, "gitlab-push.json", 202, gitlabLab},
		{"GitLab: an issue", "gitlab", "gitlab", "Issue Hook", secret, "gitlab-push.json", 204, ""},
		{"GitLab: forged", "gitlab", "gitlab", "Push Hook", "guess", "gitlab-push.json", 401, ""},
		{"Gitea: a push", "gitea", "gitea", "push", secret, "gitea-push.json", 202, giteaLab},
		{"Gitea: by its own secret", "gitea", "gitea", "push", ownSecret, "gitea-push.json", 202, giteaLab},
		{"Gitea: an issue", "gitea", "gitea", "issues", secret, "gitea-push.json", 204, ""},
		{"Gitea: forged", "gitea", "gitea", "push", "guess", "gitea-push.json", 401, ""},
		{"Gitea: signed as GitHub", "gitea", "gitea-as-github", "push", secret, "gitea-push.json", 202, giteaLab},
		{"Forgejo: a push", "gitea", "forgejo", "push", secret, "gitea-push.json", 202, giteaLab},
		{"a plain hook", "generic", "generic", "", secret, generic(plainLab), 202, plainLab},
		{"a plain hook of a scheme of its own", "generic", "generic", "", secret, generic("file://" + plainLab), 202, plainLab},
		{"a plain hook, forged", "generic", "generic", "", "guess", generic(plainLab), 401, ""},
		{"a plain hook without a secret", "generic", "", "", "", generic(plainLab), 401, ""},
		{"a plain hook of nothing", "generic", "generic", "", secret, `{}`, 400, ""},
	} {
		body := []byte(c.body)
		if strings.HasSuffix(c.body, ".json") {
			body = recorded(t, c.body)
		}
		for range 2 { // a delivery that comes twice is one wake more
			status, text := s.request("POST", "/webhooks/"+c.path, sender(c.forge, c.event, c.secret, body), body)
			if got := s.woken(); status != c.status || text != "" || got != c.wakes {
				t.Errorf("%s: %d %q, woke %q; want %d and %q", c.name, status, text, got, c.status, c.wakes)
			}
		}
	}

	body := recorded(t, "github-push.json")
	form := []byte("payload=" + url.QueryEscape(string(body)))
	header := sender("github", "push", secret, form)
	header["Content-Type"] = "application/x-www-form-urlencoded"
	if status, _ := s.request("POST", "/webhooks/github", header, form); status != 202 || s.woken() != githubLab {
		t.Errorf("a form: %d", status)
	}
	if status, _ := s.request("GET", "/webhooks/github", nil, nil); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	_, metrics := s.request("GET", "/metrics", open, nil)
	if !strings.Contains(metrics, `lab_layers_webhook_deliveries_total{code="401",forge="gitlab"} 2`) {
		t.Errorf("the deliveries are not counted:\n%s", metrics)
	}
}

func TestLargeDeliveries(t *testing.T) {
	s := newSite(t, withSecrets)
	// What is not needed may have millions of parts.
	parts := func(size int) []byte {
		text := fmt.Sprintf(`{"repository":{"clone_url":%q,"git_http_url":%q},"commits":[],"pad":""}`, giteaLab, giteaLab)
		fill := size - len(text) - 2
		return []byte(strings.NewReplacer("[]", "["+strings.Repeat("{},", fill/3)+"{}]", `""}`, `"`+strings.Repeat("x", fill%3)+`"}`).Replace(text))
	}
	body := parts(maxBody)
	if len(body) != maxBody {
		t.Fatalf("the largest has %d bytes", len(body))
	}
	var before, after runtime.MemStats
	for _, c := range []struct {
		path, forge, event, secret string
		status                     int
	}{
		{"github", "github", "push", secret, 202},
		{"gitlab", "gitlab", "Push Hook", secret, 202},
		{"gitea", "gitea", "push", secret, 202},
		{"github", "github", "push", "guess", 401},
		{"generic", "generic", "", secret, 400},
		{"generic", "generic", "", "guess", 401},
	} {
		header := sender(c.forge, c.event, c.secret, body)
		runtime.ReadMemStats(&before)
		status, _ := s.request("POST", "/webhooks/"+c.path, header, body)
		runtime.ReadMemStats(&after)
		if woken := s.woken(); status != c.status || (woken == giteaLab) != (status == 202) {
			t.Errorf("the largest of %s: %d, woke %q, want %d", c.forge, status, woken, c.status)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 10*maxBody {
			t.Errorf("the largest of %s, answered %d, took %d MB of memory", c.forge, status, taken>>20)
		}
	}
	body = parts(maxBody + 1)
	if status, text := s.request("POST", "/webhooks/github", sender("github", "push", secret, body), body); status != 413 || text != "" || s.woken() != "" {
		t.Errorf("one that is too large: %d %s", status, text)
	}
	plain := []byte(fmt.Sprintf(`{"repository":%q,"commits":{%s"x":""}}`, plainLab, strings.Repeat(`"x":"",`, maxPlain/7)))
	if status, _ := s.request("POST", "/webhooks/generic", sender("generic", "", secret, plain), plain); status != 400 || s.woken() != "" {
		t.Errorf("a plain one that is too large: %d", status)
	}
	// One that does not say how large it is.
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/webhooks/generic", struct{ *bytes.Reader }{bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 || s.woken() != "" {
		t.Errorf("one of unknown size: %d", res.StatusCode)
	}
}

func TestWithoutSecrets(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Repositories = []string{plainLab} })
	body := []byte(`{"repository":"` + plainLab + `"}`)
	json := map[string]string{"Content-Type": "application/json"}
	if status, _ := s.request("POST", "/webhooks/generic", json, body); status != 202 || s.woken() != plainLab {
		t.Errorf("from this machine: %d", status)
	}
	for name, value := range map[string]string{"X-Forwarded-For": "192.0.2.1", "Host": "agent.example.org", "Sec-Fetch-Site": "cross-site"} {
		header := map[string]string{name: value}
		maps.Copy(header, json)
		if status, text := s.request("POST", "/webhooks/generic", header, body); status != 404 || text != "" || s.woken() != "" {
			t.Errorf("with %s %s: %d %s", name, value, status, text)
		}
	}
	// A RUN step on the machine's network is this machine, too: it wakes and is
	// told nothing.
	s.have(7, agent.Queued)
	s.found = []agent.Run{s.runs[7].Run}
	told := maps.Clone(json)
	maps.Copy(told, open)
	for _, c := range []struct {
		header map[string]string
		has    string
	}{{json, ""}, {told, `{"runs":[{"id":7,`}} {
		status, text := s.request("POST", "/webhooks/generic?wait=1ms", c.header, body)
		if status != 202 || s.woken() != plainLab || !strings.HasPrefix(text, c.has) || c.has == "" && text != "" {
			t.Errorf("with %v: %d %s", c.header, status, text)
		}
	}
	// Nor does it make the agent look again and again.
	woken := 0
	for range 100 {
		if status, _ := s.request("POST", "/webhooks/generic", json, body); status == 202 {
			woken++
		} else if status != 429 {
			t.Errorf("one of many: %d", status)
		}
	}
	if s.woken(); woken == 100 {
		t.Errorf("%d deliveries without a proof all woke", woken)
	}
	if status, _ := s.request("POST", "/webhooks/generic", told, body); status != 202 {
		t.Errorf("after them, with the token: %d", status)
	}
	if status, _ := s.request("POST", "/webhooks/registry", json, []byte(`{"events":[]}`)); status != 404 {
		t.Errorf("a registry's events: %d", status)
	}
}

func TestRegistryEvents(t *testing.T) {
	var pushed []string
	s := newSite(t, func(o *Options) {
		withSecrets(o)
		o.Pushed = func(repository, tag string) { pushed = append(pushed, repository+":"+tag) }
	})
	body := []byte(`{"events":[
		{"id":"1","timestamp":"2026-01-02T15:04:05Z","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf","size":708,"repository":"library/debian","url":"http://registry.example.org/v2/library/debian/manifests/sha256:fea8","tag":"bookworm"},"request":{"id":"2","addr":"192.0.2.1:34022","host":"registry.example.org","method":"PUT"}},
		{"id":"3","action":"push","target":{"mediaType":"application/octet-stream","repository":"library/debian"},"request":{"host":"registry.example.org"}},
		{"id":"4","action":"pull","target":{"repository":"library/debian","tag":"bookworm"},"request":{"host":"registry.example.org"}}]}`)
	for token, want := range map[string]int{secret: 202, ownSecret: 401, "": 401} {
		if status, text := s.request("POST", "/webhooks/registry", map[string]string{"Authorization": "Bearer " + token}, body); status != want || text != "" {
			t.Errorf("with %q: %d %s, want %d", token, status, text, want)
		}
	}
	if got := strings.Join(pushed, " "); got != "library/debian:bookworm" {
		t.Errorf("pushed %q", got)
	}
}

func TestPlace(t *testing.T) {
	for _, one := range [][]string{
		{"https://git.example.org/lab/images", "http://GIT.example.org:3000/lab/images.git/", "git@git.example.org:lab/images.git", "ssh://git@git.example.org:2222/lab/images.git", "git.example.org:/lab/images", "https://user:word@git.example.org/lab//images.git"},
		{"/srv/git/lab.git", "file:///srv/git/lab.git/", "/srv/git/lab", "/srv/git/../git/lab.git"},
		{"ssh://[2001:db8::1]:22/lab.git", "git@[2001:db8::1]:lab"},
	} {
		for _, url := range one {
			if place(url) != place(one[0]) {
				t.Errorf("%s is at %q, and %s at %q", url, place(url), one[0], place(one[0]))
			}
		}
	}
	if place("https://git.example.org/lab/images") == place("https://git.example.org/Lab/images") {
		t.Error("the case of a path does not count")
	}
	if got := newWatched([]string{plainLab}).find([]string{"", "https:// /"}); got != nil {
		t.Errorf("nothing leads to %q", got)
	}
}

func TestReadSecrets(t *testing.T) {
	names := map[string]string{"lab": plainLab, "": "unnamed"}
	secrets, err := ReadSecrets(strings.NewReader("one==\n\n lab  two\nthree\n"), "file", names)
	if want := []Secret{{Value: "one=="}, {plainLab, "two"}, {Value: "three"}}; err != nil || fmt.Sprint(secrets) != fmt.Sprint(want) {
		t.Errorf("%v, %v, want %v", secrets, err, want)
	}
	for text, want := range map[string]string{
		"":                   "file holds no secret",
		"ok\nother hushhush": "file:2:",
		"a hushhush c":       "file:1:",
	} {
		if _, err := ReadSecrets(strings.NewReader(text), "file", names); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestToldOfRuns holds that a hook that waits is told the runs of its push, also
// those that the agent had found before, with their plans.
func TestToldOfRuns(t *testing.T) {
	s := newSite(t, withSecrets)
	s.found = []agent.Run{s.have(7, agent.Queued)}
	earlier := s.have(6, agent.Building)
	earlier.Move.URL, earlier.Move.Ref, earlier.Move.New = plainLab, "refs/heads/x", "c"
	s.runs[6].Run = earlier
	other := s.have(5, agent.Queued)
	other.Move.URL, other.Move.Ref, other.Move.New = plainLab, "refs/heads/x", "older"
	s.runs[5].Run = other
	fill := s.feed.Progress()
	fill.Plan(earlier, &layers.Plan{Layers: []*layers.PlannedLayer{{Name: "unet", Step: layers.Build}}})
	fill.End(s.found[0], agent.Verdict{State: agent.Failed, Reason: "no configuration"}) // without a plan
	body := []byte(`{"repository":"` + plainLab + `","commits":{"refs/heads/main":"b","refs/heads/x":"c"}}`)
	status, text := s.request("POST", "/webhooks/generic?wait=1m", sender("generic", "", secret, body), body)
	var told Told
	if err := json.Unmarshal([]byte(text), &told); err != nil || status != 202 || s.woken() != plainLab {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	if len(told.Runs) != 2 || told.Runs[0].ID != 7 || told.Runs[0].Plan != nil ||
		told.Runs[1].ID != 6 || told.Runs[1].Plan == nil || told.Runs[1].Plan.Layers[0].Name != "unet" {
		t.Errorf("%s", text)
	}
	if status, _ := s.request("POST", "/webhooks/generic?wait=long", sender("generic", "", secret, body), body); status != 400 {
		t.Errorf("a wait that is none: %d", status)
	}
}
