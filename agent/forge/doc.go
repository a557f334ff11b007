// Package forge tells GitHub, GitLab, Gitea and Forgejo how runs go: a status on
// the commit, and one comment, kept up to date, on each open pull or merge
// request of the branch.
//
// Input are reports of runs. What they quote comes from repositories and builds
// and is hostile: it is shown as code, and can neither mention people nor make
// links or mark-up. The package decides nothing about when to tell, and keeps no
// record.
package forge
