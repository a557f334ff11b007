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
)

// github is GitHub, of any kind.
type github struct{}

func (github) proof(header http.Header, body []byte) func(string) bool {
	return prefixed(header.Get("X-Hub-Signature-256"), body) // SHA-1 is not taken
}

func (github) read(header http.Header, payload []byte) (delivery, error) {
	d := delivery{}
	switch header.Get("X-GitHub-Event") {
	case "push", "create", "delete":
		d.moves = true
	case "ping":
	default:
		return d, nil // asked for by mistake
	}
	// Not the library's events: what they take apart, and is not needed, may
	// have a million parts.
	var p struct {
		Repository struct {
			Clone string `json:"clone_url"`
			SSH   string `json:"ssh_url"`
			Git   string `json:"git_url"`
			HTML  string `json:"html_url"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return delivery{}, err
	}
	d.urls = present(p.Repository.Clone, p.Repository.SSH, p.Repository.Git, p.Repository.HTML)
	return d, nil
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
	for _, name := range []string{"X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-GitHub-Event"} {
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
	return prefixed(header.Get(SignatureHeader), body)
}

// maxPlain bounds a plain delivery, whose commits are all taken apart.
const maxPlain = 1 << 20

func (generic) read(_ http.Header, payload []byte) (delivery, error) {
	if len(payload) > maxPlain {
		return delivery{}, fmt.Errorf("more than %d bytes", maxPlain)
	}
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

// prefixed is signed for a signature with its algorithm before it.
func prefixed(signature string, body []byte) func(string) bool {
	claimed, ok := strings.CutPrefix(signature, "sha256=")
	if !ok {
		return nil
	}
	return signed(claimed, body)
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
