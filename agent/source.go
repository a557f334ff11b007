package agent

import (
	"context"

	"github.com/lab-layers/lab-layers/layers"
)

// Source is a repository as the agent reads it. Implementations are safe for
// use by several goroutines. Errors are the infrastructure's.
type Source interface {
	// URL names the repository; it carries no credentials.
	URL() string
	// Refs asks the remote where its branches and tags are, tags peeled to
	// commits, without bringing any object.
	Refs(ctx context.Context) (map[layers.Ref]layers.Commit, error)
	// Fetch brings what it takes to read a commit's tree. The error wraps
	// fs.ErrNotExist if the remote no longer has the commit.
	Fetch(ctx context.Context, ref layers.Ref, commit layers.Commit) error
	// Tree returns the tree of a commit that was fetched.
	Tree(ctx context.Context, commit layers.Commit) (layers.Tree, error)
}
