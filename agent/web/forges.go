package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gogithub "github.com/google/go-github/v60/github"
)

// github is GitHub, of any kind.
type github struct{}

func (github) proof(header http.Header, body []byte) func(string) bool {
	signature := header.Get(gogithub.SHA256SignatureHeader)
	if !strings.HasPrefix(signature, "sha256=") {
		return nil // SHA-1 is not taken
	}
	return func(secret string) bool {
		return secret != "" && gogithub.ValidateSignature(signature, body, []byte(secret)) == nil
	}
}

func (github) read(header http.Header, payload []byte) (delivery, error) {
	kind := header.Get(gogithub.EventTypeHeader)
	switch kind {
	case "push", "create", "delete", "ping":
	default:
		return delivery{}, nil // asked for by mistake
	}
	event, err := gogithub.ParseWebHook(kind, payload)
	if err != nil {
		return delivery{}, err
	}
	switch e := event.(type) {
	case *gogithub.PushEvent:
		r := e.GetRepo()
		return delivery{moves: true, urls: present(r.GetCloneURL(), r.GetSSHURL(), r.GetGitURL(), r.GetHTMLURL())}, nil
	case *gogithub.CreateEvent:
		return delivery{moves: true, urls: githubURLs(e.GetRepo())}, nil
	case *gogithub.DeleteEvent:
		return delivery{moves: true, urls: githubURLs(e.GetRepo())}, nil
	case *gogithub.PingEvent:
		return delivery{urls: githubURLs(e.GetRepo())}, nil
	}
	return delivery{}, fmt.Errorf("a %s event that is none", kind)
}

func githubURLs(r *gogithub.Repository) []string {
	return present(r.GetCloneURL(), r.GetSSHURL(), r.GetGitURL(), r.GetHTMLURL())
}

// gitlab is GitLab, whose token is sent as it is.
type gitlab struct{}

func (gitlab) proof(header http.Header, _ []byte) func(string) bool {
	token := header.Get("X-Gitlab-Token")
	if token == "" {
		return nil
	}
	return func(secret string) bool { return same(token, secret) }
}

func (gitlab) read(header http.Header, payload []byte) (delivery, error) {
	var p struct {
		Kind    string `json:"object_kind"`
		Event   string `json:"event_name"` // of a system hook
		Project struct {
			HTTP string `json:"git_http_url"`
			SSH  string `json:"git_ssh_url"`
			Web  string `json:"web_url"`
		} `json:"project"`
		Repository struct {
			HTTP string `json:"git_http_url"`
			SSH  string `json:"git_ssh_url"`
			Web  string `json:"homepage"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return delivery{}, err
	}
	d := delivery{urls: present(p.Project.HTTP, p.Project.SSH, p.Project.Web, p.Repository.HTTP, p.Repository.SSH, p.Repository.Web)}
	switch header.Get("X-Gitlab-Event") {
	case "Push Hook", "Tag Push Hook":
		d.moves = true
	case "System Hook":
		kind := p.Event
		if kind == "" {
			kind = p.Kind
		}
		d.moves = kind == "push" || kind == "tag_push" || kind == "repository_update"
	}
	return d, nil
}

// gitea is Gitea, Forgejo and Gogs.
type gitea struct{}

func (gitea) proof(header http.Header, body []byte) func(string) bool {
	for _, name := range []string{"X-Gitea-Signature", "X-Forgejo-Signature", "X-Gogs-Signature"} {
		if signature := header.Get(name); signature != "" {
			return signed(signature, body)
		}
	}
	return github{}.proof(header, body)
}

func (gitea) read(header http.Header, payload []byte) (delivery, error) {
	var p struct {
		Repository struct {
			Clone string `json:"clone_url"`
			SSH   string `json:"ssh_url"`
			HTML  string `json:"html_url"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return delivery{}, err
	}
	d := delivery{urls: present(p.Repository.Clone, p.Repository.SSH, p.Repository.HTML)}
	for _, name := range []string{"X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", gogithub.EventTypeHeader} {
		switch header.Get(name) {
		case "push", "create", "delete":
			d.moves = true
		}
	}
	return d, nil
}

// generic is anything that can sign {"repository": URL}. It may add
// "commits": {REF: COMMIT}, to be told of their runs.
type generic struct{}

func (generic) proof(header http.Header, body []byte) func(string) bool {
	signature, ok := strings.CutPrefix(header.Get(SignatureHeader), "sha256=")
	if !ok {
		return nil
	}
	return signed(signature, body)
}

func (generic) read(_ http.Header, payload []byte) (delivery, error) {
	var p struct {
		Repository string            `json:"repository"`
		Commits    map[string]string `json:"commits"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return delivery{}, err
	}
	if p.Repository == "" {
		return delivery{}, errors.New("no repository")
	}
	return delivery{urls: []string{p.Repository}, moves: true, commits: p.Commits}, nil
}

// signed compares the hexadecimal HMAC-SHA256 of a body.
func signed(signature string, body []byte) func(string) bool {
	claimed, err := hex.DecodeString(signature)
	if err != nil {
		return nil
	}
	return func(secret string) bool {
		return secret != "" && hmac.Equal(claimed, mac(secret, body))
	}
}

func mac(secret string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return m.Sum(nil)
}

// SignatureHeader has what [Sign] gives.
const SignatureHeader = "X-Signature-256"

// Sign gives the signature of a generic delivery.
func Sign(secret string, body []byte) string {
	return "sha256=" + hex.EncodeToString(mac(secret, body))
}

// present leaves out what is empty.
func present(urls ...string) (all []string) {
	for _, u := range urls {
		if u != "" {
			all = append(all, u)
		}
	}
	return all
}
