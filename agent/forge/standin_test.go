package forge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	token  = "s3cret-token"
	ownID  = 7 // the account of the token
	labURL = "https://forge.example/uni/lab.git"
)

// standIn is a strict forge: it takes what is documented and nothing else, and
// gives two things a page.
type standIn struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	statuses []shown
	changes  []change
	comments []*remark
	asked    int
	// fault may answer in the forge's place.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

// shown is a status, in the forge's own words.
type shown struct{ commit, context, state, description, url string }

type change struct {
	number int64
	branch string
	fork   bool
	closed bool
	into   string // main if empty
}

func (c change) base() string { return cmp.Or(c.into, "main") }

// remark is one comment.
type remark struct {
	id, change, author int64
	body               string
	edits              int
}

func newStandIn(t testing.TB, api string, routes func(*standIn, *http.ServeMux)) *standIn {
	s := &standIn{t: t}
	mux := http.NewServeMux()
	routes(s, mux)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.fault != nil && s.fault(w, r) {
			return
		}
		scheme := "Bearer "
		if api == "gitea" {
			scheme = "token "
		}
		if r.Header.Get("Authorization") != scheme+token {
			s.t.Errorf("%s %s is authorized by %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		if r.Header.Get("User-Agent") == "" {
			s.t.Errorf("%s %s has no user agent", r.Method, r.URL)
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			s.t.Errorf("%s %s is not in the API", r.Method, r.URL)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// read takes exactly the fields that a value has.
func (s *standIn) read(r *http.Request, v any) {
	if r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s is %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		s.t.Errorf("%s %s sends %s: %v", r.Method, r.URL, data, err)
	}
}

func (s *standIn) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

// page gives two things at a time, with the link to the next page.
func page[T any](s *standIn, w http.ResponseWriter, r *http.Request, all []T) {
	query := r.URL.Query()
	n, err := strconv.Atoi(query.Get("page"))
	if err != nil {
		n = 1
	}
	from := min(2*(n-1), len(all))
	to := min(from+2, len(all))
	if to < len(all) {
		query.Set("page", fmt.Sprint(n+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next", <%s>; rel="last"`, s.URL, r.URL.Path, query.Encode(), s.URL))
	}
	s.reply(w, http.StatusOK, append([]T{}, all[from:to]...))
}

// query makes sure that a list is asked for with these words and no others.
func (s *standIn) query(r *http.Request, words map[string]string) {
	query := r.URL.Query()
	for name, want := range words {
		if query.Get(name) != want {
			s.t.Errorf("%s %s has %s=%q, want %q", r.Method, r.URL, name, query.Get(name), want)
		}
		query.Del(name)
	}
	for _, name := range []string{"page", "per_page", "limit"} {
		query.Del(name)
	}
	if len(query) > 0 {
		s.t.Errorf("%s %s has more: %v", r.Method, r.URL, query)
	}
}

func (s *standIn) show(status shown, states ...string) {
	if !slices.Contains(states, status.state) {
		s.t.Errorf("there is no state %q", status.state)
	}
	if n := len([]rune(status.description)); n > 140 || strings.ContainsAny(status.description, "\n\r\x00\x1b") {
		s.t.Errorf("description of %d characters: %q", n, status.description)
	}
	s.statuses = append(s.statuses, status)
}

func (s *standIn) write(change int64, body string) *remark {
	if strings.TrimSpace(body) == "" {
		s.t.Error("an empty comment")
	}
	c := &remark{id: int64(100 + len(s.comments)), change: change, author: ownID, body: body}
	s.comments = append(s.comments, c)
	return c
}

// edit changes a comment of the token's account, and refuses others.
func (s *standIn) edit(w http.ResponseWriter, r *http.Request, field, body string) {
	id, _ := strconv.ParseInt(r.PathValue(field), 10, 64)
	i := slices.IndexFunc(s.comments, func(c *remark) bool { return c.id == id })
	switch {
	case i < 0:
		s.reply(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
	case s.comments[i].author != ownID:
		s.reply(w, http.StatusForbidden, map[string]string{"message": "Forbidden"})
	default:
		s.comments[i].body = body
		s.comments[i].edits++
		s.reply(w, http.StatusOK, map[string]any{"id": id, "body": body})
	}
}

// of are the comments on the change that a request names.
func (s *standIn) of(r *http.Request) (all []*remark) {
	number, _ := strconv.ParseInt(r.PathValue("number"), 10, 64)
	for _, c := range s.comments {
		if c.change == number {
			all = append(all, c)
		}
	}
	return all
}

func number(r *http.Request) int64 {
	n, _ := strconv.ParseInt(r.PathValue("number"), 10, 64)
	return n
}

// forges are the forges and their stand-ins.
var forges = map[string]struct {
	open   func(Options) (Forge, error)
	routes func(*standIn, *http.ServeMux)
	states map[State]string
}{
	"github": {NewGitHub, githubRoutes, map[State]string{Waiting: "pending", Running: "pending", Success: "success", Failure: "failure", Cancelled: "error"}},
	"gitlab": {NewGitLab, gitlabRoutes, map[State]string{Waiting: "pending", Running: "running", Success: "success", Failure: "failed", Cancelled: "canceled"}},
	"gitea":  {NewGitea, giteaRoutes, map[State]string{Waiting: "pending", Running: "pending", Success: "success", Failure: "failure", Cancelled: "error"}},
}

// eachForge runs a test with each forge's stand-in.
func eachForge(t *testing.T, test func(t *testing.T, s *standIn, target *Target, states map[State]string)) {
	for name, f := range forges {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, name, f.routes)
			test(t, s, open(t, f.open, s.URL), f.states)
		})
	}
}

func open(t testing.TB, open func(Options) (Forge, error), url string) *Target {
	t.Helper()
	forge, err := open(Options{URL: url, Token: func() (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	project, err := ParseProject(labURL, "")
	if err != nil {
		t.Fatal(err)
	}
	return &Target{Forge: forge, Label: "the forge", Projects: map[string]Project{labURL: project}}
}

func githubRoutes(s *standIn, mux *http.ServeMux) {
	const repo = "/api/v3/repos/uni/lab"
	type repository struct {
		ID int64 `json:"id"`
	}
	type side struct {
		Ref  string     `json:"ref"`
		Repo repository `json:"repo"`
	}
	mux.HandleFunc("GET /api/v3/user", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, http.StatusOK, map[string]any{"id": ownID, "login": "lab-bot"})
	})
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			State       string `json:"state"`
			URL         string `json:"target_url"`
			Description string `json:"description"`
			Context     string `json:"context"`
		}
		s.read(r, &b)
		s.show(shown{r.PathValue("sha"), b.Context, b.State, b.Description, b.URL}, "error", "failure", "pending", "success")
		s.reply(w, http.StatusCreated, map[string]any{"id": 1, "state": b.State})
	})
	mux.HandleFunc("GET "+repo+"/pulls", func(w http.ResponseWriter, r *http.Request) {
		head := r.URL.Query().Get("head")
		s.query(r, map[string]string{"state": "open", "head": head})
		all := []map[string]any{}
		for _, c := range s.changes {
			if !c.closed && "uni:"+c.branch == head {
				from := int64(1)
				if c.fork {
					from = 2
				}
				all = append(all, map[string]any{"number": c.number, "head": side{c.branch, repository{from}}, "base": side{c.base(), repository{1}}})
			}
		}
		page(s, w, r, all)
	})
	mux.HandleFunc("GET "+repo+"/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		s.query(r, nil)
		all := []map[string]any{}
		for _, c := range s.of(r) {
			all = append(all, map[string]any{"id": c.id, "body": c.body, "user": map[string]any{"id": c.author}})
		}
		page(s, w, r, all)
	})
	mux.HandleFunc("POST "+repo+"/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.reply(w, http.StatusCreated, map[string]any{"id": s.write(number(r), b.Body).id})
	})
	mux.HandleFunc("PATCH "+repo+"/issues/comments/{id}", func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.edit(w, r, "id", b.Body)
	})
}

func gitlabRoutes(s *standIn, mux *http.ServeMux) {
	// ServeMux matches escaped paths by their parts: the project is one.
	const project = "/api/v4/projects/{project}"
	known := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("project") != "uni/lab" || !strings.Contains(r.URL.EscapedPath(), "/uni%2Flab/") {
				s.t.Errorf("project %q in %s", r.PathValue("project"), r.URL.EscapedPath())
			}
			next(w, r)
		}
	}
	mux.HandleFunc("GET /api/v4/user", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, http.StatusOK, map[string]any{"id": ownID, "username": "lab-bot"})
	})
	last := map[string]string{} // states by commit and name
	mux.HandleFunc("POST "+project+"/statuses/{sha}", known(func(w http.ResponseWriter, r *http.Request) {
		var b struct{ State, Ref, Name, Target_url, Description string }
		s.read(r, &b)
		if strings.HasPrefix(b.Ref, "refs/") || b.Ref == "" {
			s.t.Errorf("ref %q", b.Ref)
		}
		key := r.PathValue("sha") + b.Name
		if (b.State == "pending" || b.State == "running") && last[key] == b.State {
			s.reply(w, http.StatusBadRequest, map[string]any{"message": "Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"})
			return
		}
		last[key] = b.State
		s.show(shown{r.PathValue("sha"), b.Name, b.State, b.Description, b.Target_url}, "pending", "running", "success", "failed", "canceled", "skipped")
		s.reply(w, http.StatusCreated, map[string]any{"id": 1, "status": b.State})
	}))
	mux.HandleFunc("GET "+project+"/merge_requests", known(func(w http.ResponseWriter, r *http.Request) {
		branch := r.URL.Query().Get("source_branch")
		s.query(r, map[string]string{"state": "opened", "source_branch": branch})
		all := []map[string]any{}
		for _, c := range s.changes {
			if !c.closed && c.branch == branch {
				from := 1
				if c.fork {
					from = 2
				}
				all = append(all, map[string]any{"id": 5000 + c.number, "iid": c.number, "source_branch": branch, "source_project_id": from, "target_project_id": 1, "target_branch": c.base()})
			}
		}
		page(s, w, r, all)
	}))
	notes := project + "/merge_requests/{number}/notes"
	mux.HandleFunc("GET "+notes, known(func(w http.ResponseWriter, r *http.Request) {
		s.query(r, map[string]string{"sort": "asc", "order_by": "created_at"})
		all := []map[string]any{{"id": 1, "system": true, "body": mark + " marked as a draft", "author": map[string]any{"id": ownID}}}
		for _, c := range s.of(r) {
			all = append(all, map[string]any{"id": c.id, "system": false, "body": c.body, "author": map[string]any{"id": c.author}})
		}
		page(s, w, r, all)
	}))
	mux.HandleFunc("POST "+notes, known(func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.reply(w, http.StatusCreated, map[string]any{"id": s.write(number(r), b.Body).id})
	}))
	mux.HandleFunc("PUT "+notes+"/{id}", known(func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.edit(w, r, "id", b.Body)
	}))
}

func giteaRoutes(s *standIn, mux *http.ServeMux) {
	const repo = "/api/v1/repos/uni/lab"
	mux.HandleFunc("GET /api/v1/user", func(w http.ResponseWriter, r *http.Request) {
		// A token without the scope read:user.
		s.reply(w, http.StatusForbidden, map[string]string{"message": "token does not have at least one of required scope(s): [read:user]"})
	})
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", func(w http.ResponseWriter, r *http.Request) {
		var b struct{ State, Target_url, Description, Context string }
		s.read(r, &b)
		s.show(shown{r.PathValue("sha"), b.Context, b.State, b.Description, b.Target_url}, "pending", "success", "error", "failure", "warning")
		s.reply(w, http.StatusCreated, map[string]any{"id": 1, "status": b.State})
	})
	mux.HandleFunc("GET "+repo+"/pulls", func(w http.ResponseWriter, r *http.Request) {
		s.query(r, map[string]string{"state": "open"})
		all := []map[string]any{}
		for _, c := range s.changes {
			if !c.closed {
				from := 1
				if c.fork {
					from = 2
				}
				all = append(all, map[string]any{
					"number": c.number, "head": map[string]any{"ref": c.branch, "repo_id": from}, "base": map[string]any{"ref": c.base(), "repo_id": 1}})
			}
		}
		page(s, w, r, all)
	})
	mux.HandleFunc("GET "+repo+"/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		s.query(r, nil)
		all := []map[string]any{}
		for _, c := range s.of(r) {
			all = append(all, map[string]any{"id": c.id, "body": c.body, "user": map[string]any{"id": c.author}})
		}
		s.reply(w, http.StatusOK, all) // not by pages
	})
	mux.HandleFunc("POST "+repo+"/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.reply(w, http.StatusCreated, map[string]any{"id": s.write(number(r), b.Body).id})
	})
	mux.HandleFunc("PATCH "+repo+"/issues/comments/{id}", func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Body string }
		s.read(r, &b)
		s.edit(w, r, "id", b.Body)
	})
}
