package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitea speaks the REST API, version 1, of Gitea and Forgejo
// (https://docs.gitea.com/api, https://codeberg.org/api/swagger).
type gitea struct{ rest }

// NewGitea tells a Gitea or Forgejo. The token needs to write repositories and
// issues.
func NewGitea(o Options) (Forge, error) {
	base, err := base(o.URL, "api/v1")
	if err != nil {
		return nil, err
	}
	return &gitea{rest{base: base, client: newClient(base, "token", o.Token)}}, nil
}

func giteaProject(p Project) string {
	return "/repos/" + url.PathEscape(p.Owner) + "/" + url.PathEscape(p.Name)
}

func (g *gitea) Status(ctx context.Context, p Project, s Status) error {
	states := map[State]string{Waiting: "pending", Running: "pending", Success: "success", Failure: "failure", Cancelled: "error"}
	body := map[string]string{"state": states[s.State], "context": s.Context, "description": s.Description}
	if s.URL != "" {
		body["target_url"] = s.URL
	}
	_, err := g.call(ctx, http.MethodPost, giteaProject(p)+"/statuses/"+url.PathEscape(string(s.Commit)), nil, body, nil)
	return err
}

func (g *gitea) Changes(ctx context.Context, p Project, branch string) (changes []Change, err error) {
	found, err := list[struct {
		Number int64 `json:"number"`
		Head   struct {
			Ref  string `json:"ref"`
			From int64  `json:"repo_id"`
		} `json:"head"`
		Base struct {
			Ref string `json:"ref"`
			To  int64  `json:"repo_id"`
		} `json:"base"`
	}](ctx, &g.rest, giteaProject(p)+"/pulls", url.Values{"state": {"open"}}, "limit")
	for _, pull := range found {
		if pull.Head.Ref == branch && pull.Head.From == pull.Base.To {
			changes = append(changes, Change{pull.Number, branchRef(pull.Base.Ref)})
		}
	}
	return changes, err
}

func (g *gitea) Comments(ctx context.Context, p Project, change int64, mark string) (ids []int64, err error) {
	// All of them come at once, the oldest first.
	var notes items[note]
	_, err = g.call(ctx, http.MethodGet, fmt.Sprintf("%s/issues/%d/comments", giteaProject(p), change), nil, nil, &notes)
	for _, n := range notes {
		if strings.HasPrefix(n.Body, mark) && g.wrote(ctx, n.User.ID, g.whoami) {
			ids = append(ids, n.ID)
		}
	}
	return ids, err
}

func (g *gitea) Comment(ctx context.Context, p Project, change, id int64, text string) error {
	body := map[string]string{"body": text}
	if id == 0 {
		_, err := g.call(ctx, http.MethodPost, fmt.Sprintf("%s/issues/%d/comments", giteaProject(p), change), nil, body, nil)
		return err
	}
	_, err := g.call(ctx, http.MethodPatch, fmt.Sprintf("%s/issues/comments/%d", giteaProject(p), id), nil, body, nil)
	return err
}
