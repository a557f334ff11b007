package git

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"

	"github.com/lab-layers/lab-layers/layers"
)

// CommitInfo is what a commit says.
type CommitInfo struct {
	Commit  layers.Commit
	Tree    layers.ObjectID
	Parents []layers.Commit
	// Author in the form "Name <address>".
	Author string
	// Time when it was committed.
	Time time.Time
	// Subject is the first line of the message.
	Subject string
}

// Commit reads a commit by its full id. The error wraps fs.ErrNotExist if it
// is not there.
func (r *Repository) Commit(commit layers.Commit) (CommitInfo, error) {
	if info, ok := r.commits.get(commit); ok {
		return info, nil
	}
	id, err := layers.ParseObjectID(string(commit))
	if err != nil {
		return CommitInfo{}, fmt.Errorf("read commit: %w", err)
	}
	raw, err := r.db.readAs(plumbing.CommitObject, id, maxCommit)
	if err != nil {
		return CommitInfo{}, fmt.Errorf("read commit %s: %w", commit, r.objects.report(err))
	}
	info, err := parseCommit(commit, raw)
	if err != nil {
		return CommitInfo{}, fmt.Errorf("read commit %s: %w", commit, err)
	}
	r.commits.put(commit, info, 1)
	return info, nil
}

func parseCommit(commit layers.Commit, raw []byte) (CommitInfo, error) {
	var encoded plumbing.MemoryObject
	encoded.SetType(plumbing.CommitObject)
	if _, err := encoded.Write(raw); err != nil {
		return CommitInfo{}, err
	}
	var c gitobject.Commit
	if err := c.Decode(&encoded); err != nil {
		return CommitInfo{}, err
	}
	if c.TreeHash.IsZero() {
		return CommitInfo{}, fmt.Errorf("%w: it names no tree", errDamaged)
	}
	info := CommitInfo{
		Commit: commit,
		Tree:   layers.ObjectID(c.TreeHash[:]),
		Author: fmt.Sprintf("%s <%s>", c.Author.Name, c.Author.Email),
		Time:   c.Committer.When,
	}
	for _, parent := range c.ParentHashes {
		info.Parents = append(info.Parents, layers.Commit(parent.String()))
	}
	info.Subject, _, _ = strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	return info, nil
}
