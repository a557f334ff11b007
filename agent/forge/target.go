package forge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// State of a commit, as all forges know it under one name or another.
type State string

// The states. Cancelled is for a run that was ended before its work was done.
const (
	Waiting   State = "waiting"
	Running   State = "running"
	Success   State = "success"
	Failure   State = "failure"
	Cancelled State = "cancelled"
)

// Status is what is said of a commit.
type Status struct {
	Commit layers.Commit
	// Ref is a full name.
	Ref   layers.Ref
	State State
	// Context tells the status from others of the commit.
	Context string
	// Description is one line of at most 140 characters, which is what GitHub
	// takes.
	Description string
	// URL leads to more; empty is none.
	URL string
}

// Change is an open pull or merge request.
type Change struct {
	Number int64
	// Into is the branch that it is for.
	Into layers.Ref
}

// Forge is what this package needs of a forge. Its errors are [agent.Unheard]
// where the forge answered with one.
type Forge interface {
	// Status sets the status of a commit in a context.
	Status(context.Context, Project, Status) error
	// Changes lists the open pull or merge requests that are to bring a branch
	// of the project itself.
	Changes(ctx context.Context, p Project, branch string) ([]Change, error)
	// Comments lists the ids of the comments on a change that begin with the
	// mark, the oldest first.
	Comments(ctx context.Context, p Project, change int64, mark string) ([]int64, error)
	// Comment writes a comment on a change: anew, or over the one of an id.
	Comment(ctx context.Context, p Project, change, id int64, body string) error
}

// Target tells a forge. It is an [agent.Target].
type Target struct {
	Forge Forge
	// Label names the forge in the records.
	Label string
	// Projects on the forge, by their repositories' URLs.
	Projects map[string]Project
	// Link makes the URL that leads to a run; nil is none.
	Link func(agent.Run) string
	// Outlook is told of in comments; nil is none.
	Outlook Outlook
}

// Name tells the target from others.
func (t *Target) Name() string { return t.Label }

// Tell sets the status of the run's commit, and writes the comment on the
// branch's open changes. A later run of the same commit decides about the
// status, a later one of the ref about the comment.
func (t *Target) Tell(ctx context.Context, r agent.Report) error {
	project, ok := t.Projects[r.Run.Move.URL]
	if !ok {
		return nil
	}
	link := ""
	if t.Link != nil {
		link = t.Link(r.Run)
	}
	if r.Twin == 0 {
		status := Status{
			Commit: r.Run.Move.New, Ref: r.Run.Move.Ref, State: state(r.Run), Context: statusContext(r.Run.Move.Ref),
			Description: describe(r), URL: link,
		}
		if err := t.Forge.Status(ctx, project, status); err != nil {
			return fmt.Errorf("set a status in %s: %w", project, err)
		}
	}
	branch, isBranch := strings.CutPrefix(string(r.Run.Move.Ref), "refs/heads/")
	if r.Next != 0 || !isBranch || r.Run.State == agent.Queued || r.Run.Idle() {
		return nil
	}
	if err := t.comment(ctx, project, branch, r, link); err != nil {
		return fmt.Errorf("comment in %s: %w", project, err)
	}
	return nil
}

// comment keeps one comment on each open change of a branch.
func (t *Target) comment(ctx context.Context, p Project, branch string, r agent.Report, link string) error {
	changes, err := t.Forge.Changes(ctx, p, branch)
	if err != nil {
		return err
	}
	bodies := map[layers.Ref]string{}
	for _, change := range changes {
		body, ok := bodies[change.Into]
		if !ok {
			body = comment(r, link) + t.outlook(ctx, r, change.Into)
			bodies[change.Into] = body
		}
		if err := t.keep(ctx, p, change.Number, body); err != nil {
			return err
		}
	}
	return nil
}

// keep has our comment on a change say something.
func (t *Target) keep(ctx context.Context, p Project, change int64, body string) error {
	ids, err := t.Forge.Comments(ctx, p, change, mark)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := t.Forge.Comment(ctx, p, change, id, body)
		if foreign(err) {
			continue // somebody else's, who copied the mark
		}
		return err
	}
	return t.Forge.Comment(ctx, p, change, 0, body)
}

// foreign reports whether a comment cannot be changed because it is not ours, or
// is gone.
func foreign(err error) bool {
	var a *answered
	return errors.As(err, &a) && (a.status == 403 && !a.limited || a.status == 404)
}

// state is what a forge is to show.
func state(r agent.Run) State {
	switch r.State {
	case agent.Queued:
		return Waiting
	case agent.Succeeded:
		return Success
	case agent.Failed:
		return Failure
	case agent.Superseded:
		return Cancelled
	case agent.Cancelled:
		if r.Idle() { // a branch that nothing covers is not at fault
			return Success
		}
		return Cancelled
	}
	return Running
}

// statusContext is lab-layers/BRANCH; of other refs it has the full name, as a
// tag may be called like a branch. A name that cannot be shown whole gets a hash:
// no branch is to set the status of another.
func statusContext(ref layers.Ref) string {
	name, _ := strings.CutPrefix(string(ref), "refs/heads/")
	shown := limit("lab-layers/"+plain(name), maxContext-15)
	isBranch := name != string(ref)
	if shown == "lab-layers/"+name && isBranch != strings.HasPrefix(name, "refs/") {
		return shown
	}
	return fmt.Sprintf("%s (%.6x)", shown, sha256.Sum256([]byte(ref)))
}

// maxContext is what fits into a column of 255 bytes, in most alphabets.
const maxContext = 120

// short is a ref's name for people.
func short(ref layers.Ref) string {
	return plain(strings.TrimPrefix(string(ref), "refs/heads/"))
}
