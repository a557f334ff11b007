package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/lab-layers/lab-layers/agent"
)

// github speaks with GitHub and GitHub Enterprise.
type github struct {
	client *gogithub.Client
	self
}

// NewGitHub tells a GitHub. The token needs to write commit statuses and pull
// requests.
func NewGitHub(o Options) (Forge, error) {
	api := "api/v3/"
	if u, err := url.Parse(o.URL); err == nil && u.Hostname() == "github.com" {
		o.URL, api = "https://api.github.com", "/"
	}
	base, err := base(o.URL, api)
	if err != nil {
		return nil, err
	}
	client := gogithub.NewClient(newClient(base, "Bearer", o.Token))
	client.BaseURL = base
	return &github{client: client}, nil
}

func (g *github) Status(ctx context.Context, p Project, s Status) error {
	states := map[State]string{Waiting: "pending", Running: "pending", Success: "success", Failure: "failure", Cancelled: "error"}
	status := &gogithub.RepoStatus{State: gogithub.String(states[s.State]), Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, _, err := g.client.Repositories.CreateStatus(ctx, p.Owner, p.Name, string(s.Commit), status)
	return githubError(err)
}

func (g *github) Changes(ctx context.Context, p Project, branch string) (changes []Change, err error) {
	type side struct {
		Ref  string `json:"ref"`
		Repo user   `json:"repo"`
	}
	pulls, err := githubList[struct {
		Number int64 `json:"number"`
		Head   side  `json:"head"`
		Base   side  `json:"base"`
	}](ctx, g, githubProject(p)+"/pulls", url.Values{"state": {"open"}, "head": {p.Owner + ":" + branch}})
	for _, pull := range pulls {
		// A head that is not found is left out of the question by GitHub.
		if pull.Head.Ref == branch && pull.Head.Repo.ID == pull.Base.Repo.ID {
			changes = append(changes, Change{pull.Number, branchRef(pull.Base.Ref)})
		}
	}
	return changes, err
}

func githubProject(p Project) string {
	return "repos/" + url.PathEscape(p.Owner) + "/" + url.PathEscape(p.Name)
}

// githubList reads all pages, as far as their number is bounded. The library's
// own lists take each thing apart wholly, which takes a hundred times the memory
// that the answer has.
func githubList[T any](ctx context.Context, g *github, path string, query url.Values) (all []T, err error) {
	query.Set("per_page", "100")
	for range maxPages {
		req, err := g.client.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		var some items[T]
		resp, err := g.client.Do(ctx, req, &some)
		if err != nil {
			return nil, githubError(err)
		}
		all = append(all, some...)
		if resp.NextPage == 0 {
			break
		}
		query.Set("page", fmt.Sprint(resp.NextPage))
	}
	return all, nil
}

func (g *github) Comments(ctx context.Context, p Project, change int64, mark string) (ids []int64, err error) {
	notes, err := githubList[note](ctx, g, fmt.Sprintf("%s/issues/%d/comments", githubProject(p), change), url.Values{})
	for _, n := range notes {
		if strings.HasPrefix(n.Body, mark) && g.wrote(ctx, n.User.ID, g.whoami) {
			ids = append(ids, n.ID)
		}
	}
	return ids, err
}

func (g *github) Comment(ctx context.Context, p Project, change, id int64, body string) (err error) {
	comment := &gogithub.IssueComment{Body: &body}
	if id == 0 {
		_, _, err = g.client.Issues.CreateComment(ctx, p.Owner, p.Name, int(change), comment)
	} else {
		_, _, err = g.client.Issues.EditComment(ctx, p.Owner, p.Name, id, comment)
	}
	return githubError(err)
}

func (g *github) whoami(ctx context.Context) (int64, error) {
	u, _, err := g.client.Users.Get(ctx, "")
	return u.GetID(), githubError(err)
}

// githubError sorts an error as [refusal] does.
func githubError(err error) error {
	var limit *gogithub.RateLimitError
	var abuse *gogithub.AbuseRateLimitError
	var other *gogithub.ErrorResponse
	switch {
	case errors.As(err, &limit):
		return &agent.Unheard{Err: &answered{status: 403, limited: true, message: quoted(limit.Message)}, After: max(time.Until(limit.Rate.Reset.Time), time.Minute)}
	case errors.As(err, &abuse):
		return &agent.Unheard{Err: &answered{status: 403, limited: true, message: quoted(abuse.Message)}, After: max(abuse.GetRetryAfter(), time.Minute)}
	case errors.As(err, &other):
		message := other.Message
		for _, e := range other.Errors[:min(len(other.Errors), 5)] {
			message += "; " + e.Message
		}
		return refusal(other.Response, message)
	}
	return err
}
