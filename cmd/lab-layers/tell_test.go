package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
)

// said is one thing that a forge or a webhook is told.
type said struct {
	path string
	body map[string]any
}

// forgejo serves a lab's repository, with one open change, passes on what it is
// told, and has the agent watch it.
func (l *lab) forgejo() (url string, told chan said) {
	l.Helper()
	told = make(chan said, 100)
	backend := &cgi.Handler{
		Path: filepath.Join(l.command("", "git", "--exec-path"), "git-http-backend"), Root: "/uni",
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(l.remote), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	mux := http.NewServeMux()
	mux.Handle("/uni/", backend)
	const api = "/api/v1/repos/uni/lab"
	hear := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			s := said{path: strings.TrimPrefix(r.URL.Path, api)}
			if err := json.Unmarshal(text, &s.body); err != nil {
				l.Errorf("%s is told %s: %v", r.URL, text, err)
			}
			told <- s
			fmt.Fprint(w, answer)
		}
	}
	comment := ""
	mux.Handle("POST "+api+"/statuses/{sha}", hear("{}"))
	mux.Handle("POST /notify", hear(""))
	mux.HandleFunc("GET "+api+"/pulls", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"number":5,"head":{"ref":"feature/x","repo_id":1},"base":{"ref":"main","repo_id":1}}]`)
	})
	mux.HandleFunc("GET "+api+"/issues/5/comments", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "["+comment+"]")
	})
	mux.HandleFunc("POST "+api+"/issues/5/comments", func(w http.ResponseWriter, r *http.Request) {
		comment = `{"id":9,"body":"<!-- lab-layers -->","user":{"id":1}}`
		hear("{}")(w, r)
	})
	mux.Handle("PATCH "+api+"/issues/comments/9", hear("{}"))
	server := httptest.NewServer(mux)
	l.Cleanup(server.Close)
	mirror, err := git.Open(l.Context(), filepath.Join(filepath.Dir(l.remote), "http"), git.Remote{URL: server.URL + "/uni/lab.git"}, git.Limits{})
	l.check(err)
	l.agent.Sources = []agent.Source{mirror}
	return server.URL, told
}

// herald has a forge and a webhook told of the ends of runs. hear takes n things
// that they are told, by their kinds.
func (l *lab) herald(url string, told chan said, outlook *mergeOutlook) (hear func(n int) map[string]said) {
	l.Helper()
	token := filepath.Join(l.TempDir(), "token")
	l.check(os.WriteFile(token, []byte("a-token\n"), 0o600))
	flags := tellFlags{forge: "gitea", forgeURL: url, tokenFile: token, publicURL: "https://labs.example", notify: []string{url + "/notify"}}
	herald, err := flags.herald(l.agent, l.store, outlook, slog.New(slog.DiscardHandler))
	l.check(err)
	herald.Patience = 1 << 40
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		herald.Serve(ctx)
	}()
	l.Cleanup(func() {
		cancel()
		<-served
	})
	return func(n int) map[string]said {
		all := map[string]said{}
		for range n {
			s := <-told
			kind, _, _ := strings.Cut(strings.TrimPrefix(s.path, "/"), "/")
			all[kind] = s
		}
		return all
	}
}

// TestForgeIsTold follows pushes of a lab on a forge to what the forge shows.
func TestForgeIsTold(t *testing.T) {
	l := newLab(t)
	url, told := l.forgejo()
	hear := l.herald(url, told, nil)

	l.pushed()
	all := hear(2)
	if s := all["statuses"]; s.path != "/statuses/"+string(l.head()) || s.body["state"] != "success" || s.body["context"] != "lab-layers/main" ||
		s.body["target_url"] != "https://labs.example/api/v1/runs/1" || !strings.Contains(fmt.Sprint(s.body["description"]), " built, 0 reused in ") {
		t.Errorf("the forge shows %+v", s)
	}
	if e := all["notify"].body; e["type"] != "dev.lab-layers.run.finished" || e["source"] != url+"/uni/lab.git" {
		t.Errorf("the webhook gets %+v", e)
	}

	l.replace("experiments/yolov7/Dockerfile", "RUN lab-check", "RUN echo '@everyone <b>no</b>'; exit 7")
	if v := l.push("refs/heads/feature/x"); v.State != agent.Failed {
		t.Fatalf("the run %s", v.State)
	}
	all = hear(3)
	place := "experiments/yolov7/Dockerfile:"
	if s := all["statuses"]; s.body["state"] != "failure" || s.body["context"] != "lab-layers/feature/x" || !strings.HasPrefix(fmt.Sprint(s.body["description"]), place) {
		t.Errorf("the forge shows %+v", s)
	}
	text := fmt.Sprint(all["issues"].body["body"])
	if !strings.Contains(text, place) || !strings.Contains(text, "\n@\u200beveryone <\u200bb>no<\u200b/b>\n") || !strings.Contains(text, "| `yolov7` | failed |") {
		t.Errorf("the comment says %s", text)
	}

	l.replace("experiments/yolov7/Dockerfile", "; exit 7", "")
	if v := l.push("refs/heads/feature/x"); v.State != agent.Succeeded {
		t.Fatalf("the run %s", v.State)
	}
	all = hear(3)
	if s := all["issues"]; s.path != "/issues/comments/9" || !strings.Contains(fmt.Sprint(s.body["body"]), "| `yolov7` | built |") {
		t.Errorf("the comment becomes %+v", s)
	}
	if s := all["statuses"]; s.body["state"] != "success" {
		t.Errorf("the forge shows %+v", s)
	}
}

// TestTellFlags refuses what cannot be told, in one clear error that shows no
// secret.
func TestTellFlags(t *testing.T) {
	t.Setenv("LAB_LAYERS_FORGE_TOKEN", "")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--forge sourcehut": "take github, gitlab, gitea or none",
		"--forge github":    "LAB_LAYERS_FORGE_TOKEN",
		"--forge github --forge-token-file " + empty:                            "holds no token",
		"--forge github --forge-token-file FILE --forge-url ftp://x":            "https://git.example.org",
		"--forge github --forge-token-file FILE --forge-url https://u:hush@x":   "more than a host and a path",
		"--forge github --forge-token-file FILE --repo b=https://b.example/x/y": "an agent for each forge",
		"--forge github --forge-token-file FILE --repo b=/srv/lab.git":          "no host",
		"--notify gopher://hush":                         "--notify, URL 1",
		"--notify https://x --notify-secret-file /none/": "/none/",
		"--public-url labs.example":                      "https://labs.example.org",
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("hush"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		root := newRoot(&out, &out)
		root.SetArgs(strings.Fields("agent --data-dir /proc/none --repo a=https://a.example/o/r " + strings.ReplaceAll(args, "FILE", file)))
		err := root.Execute()
		if err == nil || exitCode(err) != exitInput || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestForgeAddress finds the forge and its projects from the repositories.
func TestForgeAddress(t *testing.T) {
	t.Setenv("LAB_LAYERS_FORGE_TOKEN", "hush")
	for _, c := range []struct{ kind, url, repository, label, project string }{
		{"github", "", "git@github.com:uni/lab.git", "github https://github.com", "uni/lab"},
		{"gitea", "", "https://git.example:3000/uni/lab.git", "gitea https://git.example:3000", "uni/lab"},
		{"gitea", "", "ssh://git@git.example:2222/uni/lab.git", "gitea https://git.example", "uni/lab"},
		{"gitea", "", "ssh://git@[::1]:2222/uni/lab.git", "gitea https://[::1]", "uni/lab"},
		{"gitlab", "https://git.example/gitlab/", "https://git.example/gitlab/cs/ai/lab.git", "gitlab https://git.example/gitlab", "cs/ai/lab"},
	} {
		f := tellFlags{forge: c.kind, forgeURL: c.url}
		target, err := f.forgeTarget([]string{c.repository}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.repository, err)
			continue
		}
		if target.Name() != c.label || target.Projects[c.repository].String() != c.project {
			t.Errorf("%s is %v on %s", c.repository, target.Projects, target.Name())
		}
	}
}
