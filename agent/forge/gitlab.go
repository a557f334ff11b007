package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitlab speaks GitLab's REST API, version 4
// (https://docs.gitlab.com/api/commits/#set-commit-pipeline-status,
// /api/merge_requests, /api/notes).
type gitlab struct{ rest }

// NewGitLab tells a GitLab. The token needs the scope api.
func NewGitLab(o Options) (Forge, error) {
	base, err := base(o.URL, "api/v4")
	if err != nil {
		return nil, err
	}
	return &gitlab{rest{base: base, client: newClient(base, "Bearer", o.Token)}}, nil
}

func gitlabProject(p Project) string {
	return "/projects/" + url.PathEscape(p.Owner+"/"+p.Name)
}

func (g *gitlab) Status(ctx context.Context, p Project, s Status) error {
	states := map[State]string{Waiting: "pending", Running: "running", Success: "success", Failure: "failed", Cancelled: "canceled"}
	ref, isBranch := strings.CutPrefix(string(s.Ref), "refs/heads/")
	if !isBranch {
		ref = strings.TrimPrefix(ref, "refs/tags/")
	}
	body := map[string]string{"state": states[s.State], "ref": ref, "name": s.Context, "description": s.Description}
	if s.URL != "" {
		body["target_url"] = s.URL
	}
	_, err := g.call(ctx, http.MethodPost, gitlabProject(p)+"/statuses/"+url.PathEscape(string(s.Commit)), nil, body, nil)
	var a *answered
	if (s.State == Waiting || s.State == Running) && errors.As(err, &a) && a.status == http.StatusBadRequest && strings.Contains(a.message, "Cannot transition status") {
		return nil // it is shown so already
	}
	return err
}

func (g *gitlab) Changes(ctx context.Context, p Project, branch string) (changes []Change, err error) {
	found, err := list[struct {
		Number int64  `json:"iid"`
		From   int64  `json:"source_project_id"`
		To     int64  `json:"target_project_id"`
		Into   string `json:"target_branch"`
	}](ctx, &g.rest, gitlabProject(p)+"/merge_requests", url.Values{"source_branch": {branch}, "state": {"opened"}}, "per_page")
	for _, m := range found {
		if m.From == m.To { // a fork may have a branch of the same name
			changes = append(changes, Change{m.Number, branchRef(m.Into)})
		}
	}
	return changes, err
}

func (g *gitlab) notes(p Project, change int64) string {
	return fmt.Sprintf("%s/merge_requests/%d/notes", gitlabProject(p), change)
}

func (g *gitlab) Comments(ctx context.Context, p Project, change int64, mark string) (ids []int64, err error) {
	notes, err := list[note](ctx, &g.rest, g.notes(p, change), url.Values{"sort": {"asc"}, "order_by": {"created_at"}}, "per_page")
	for _, n := range notes {
		if !n.System && strings.HasPrefix(n.Body, mark) && g.wrote(ctx, n.Author.ID, g.whoami) {
			ids = append(ids, n.ID)
		}
	}
	return ids, err
}

func (g *gitlab) Comment(ctx context.Context, p Project, change, id int64, text string) error {
	body := map[string]string{"body": text}
	if id == 0 {
		_, err := g.call(ctx, http.MethodPost, g.notes(p, change), nil, body, nil)
		return err
	}
	_, err := g.call(ctx, http.MethodPut, fmt.Sprintf("%s/%d", g.notes(p, change), id), nil, body, nil)
	return err
}
