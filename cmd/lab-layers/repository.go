package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/git"
)

// remoteFlags say how to open repositories. Secrets come from files or the
// environment, never from the command line, where others can read them.
type remoteFlags struct {
	username   string
	sshKey     string
	knownHosts string
}

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.username, "git-user", "", "user for http(s) or ssh; the password is LAB_LAYERS_GIT_PASSWORD, a bearer token LAB_LAYERS_GIT_TOKEN")
	cmd.Flags().StringVar(&f.sshKey, "git-ssh-key", "", "file with a private key (default: the agent at SSH_AUTH_SOCK)")
	cmd.Flags().StringVar(&f.knownHosts, "git-known-hosts", "", "file with host keys (default: the user's and the system's)")
}

func (f *remoteFlags) remote(url string) git.Remote {
	return git.Remote{
		URL: url, Username: f.username, SSHKey: f.sshKey, KnownHosts: f.knownHosts,
		Password: os.Getenv("LAB_LAYERS_GIT_PASSWORD"), Token: os.Getenv("LAB_LAYERS_GIT_TOKEN"),
	}
}

// openRepository opens a directory as it is, and a URL as a mirror in the
// user's cache.
func openRepository(ctx context.Context, repo string) (*git.Repository, error) {
	if !isURL(repo) {
		opened, err := git.OpenLocal(repo)
		if err != nil {
			return nil, inputError{err}
		}
		return opened, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	remote := remoteFlags{}
	mirror, err := git.Open(ctx, filepath.Join(cache, "lab-layers", "git"), remote.remote(repo), git.Limits{})
	if err != nil {
		return nil, err
	}
	if err := mirror.FetchAll(ctx); err != nil {
		return nil, err
	}
	return mirror.Repository()
}

var namespace = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

// splitName takes NAME=URL apart. The name becomes part of the images' names.
func splitName(repo string) (name, url string, err error) {
	name, url, named := strings.Cut(repo, "=")
	if !named || strings.ContainsAny(name, "/:") {
		return "", repo, nil // a "=" further on belongs to the URL
	}
	if !namespace.MatchString(name) {
		return "", "", inputf("--repo %s: the name must be lower-case letters and digits, with . _ or - between them", repo)
	}
	return name, url, nil
}

// isURL tells an address from a directory: it has a scheme, or is scp-like and
// no such file is there.
func isURL(repo string) bool {
	if strings.Contains(repo, "://") {
		return true
	}
	host, _, scp := strings.Cut(repo, ":")
	if !scp || strings.Contains(host, "/") {
		return false
	}
	_, err := os.Stat(repo)
	return err != nil
}
