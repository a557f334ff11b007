package forge

import (
	"context"
	"errors"
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

func (g *github) Changes(ctx context.Context, p Project, branch string) (changes []int64, err error) {
	options := &gogithub.PullRequestListOptions{State: "open", Head: p.Owner + ":" + branch, ListOptions: gogithub.ListOptions{PerPage: 100}}
	for range maxPages {
		pulls, resp, err := g.client.PullRequests.List(ctx, p.Owner, p.Name, options)
		if err != nil {
			return nil, githubError(err)
		}
		for _, pull := range pulls {
			// A head that is not found is left out of the question by GitHub.
			if pull.GetHead().GetRef() == branch && pull.GetHead().GetRepo().GetID() == pull.GetBase().GetRepo().GetID() {
				changes = append(changes, int64(pull.GetNumber()))
			}
		}
		if options.Page = resp.NextPage; options.Page == 0 {
			break
		}
	}
	return changes, nil
}

func (g *github) Comments(ctx context.Context, p Project, change int64, mark string) (ids []int64, err error) {
	options := &gogithub.IssueListCommentsOptions{ListOptions: gogithub.ListOptions{PerPage: 100}}
	for range maxPages {
		comments, resp, err := g.client.Issues.ListComments(ctx, p.Owner, p.Name, int(change), options)
		if err != nil {
			return nil, githubError(err)
		}
		for _, c := range comments {
			if strings.HasPrefix(c.GetBody(), mark) && g.wrote(ctx, c.GetUser().GetID(), g.whoami) {
				ids = append(ids, c.GetID())
			}
		}
		if options.Page = resp.NextPage; options.Page == 0 {
			break
		}
	}
	return ids, nil
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
		return &agent.Unheard{Err: &answered{status: 403, limited: true, message: limit.Message}, After: max(time.Until(limit.Rate.Reset.Time), time.Minute)}
	case errors.As(err, &abuse):
		return &agent.Unheard{Err: &answered{status: 403, limited: true, message: abuse.Message}, After: max(abuse.GetRetryAfter(), time.Minute)}
	case errors.As(err, &other):
		message := other.Message
		for _, e := range other.Errors {
			message += "; " + e.Message
		}
		return refusal(other.Response, message)
	}
	return err
}
