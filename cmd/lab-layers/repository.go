package main

import (
	"context"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/git"
)

// remoteFlags say how to open repositories. Secrets come from files or the
// environment, never from the command line, where others can read them.
type remoteFlags struct {
	username   string
	tokenFiles []string
	sshKey     string
	knownHosts string
}

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.username, "git-user", "", "user for http(s) or ssh; the password is LAB_LAYERS_GIT_PASSWORD, a bearer token LAB_LAYERS_GIT_TOKEN")
	cmd.Flags().StringSliceVar(&f.tokenFiles, "git-token-file", nil, "file with a forge's access token for https repositories, read anew at each look, or NAME=FILE for the repository NAME alone")
	cmd.Flags().StringVar(&f.sshKey, "git-ssh-key", "", "file with a private key (default: the agent at SSH_AUTH_SOCK)")
	cmd.Flags().StringVar(&f.knownHosts, "git-known-hosts", "", "file with host keys (default: the user's and the system's)")
}

func (f *remoteFlags) remote(repo namedRepo) git.Remote {
	return git.Remote{
		URL: repo.url, Username: f.username, SSHKey: f.sshKey, KnownHosts: f.knownHosts, TokenFile: f.tokenFile(repo.name),
		Password: os.Getenv("LAB_LAYERS_GIT_PASSWORD"), Token: os.Getenv("LAB_LAYERS_GIT_TOKEN"),
	}
}

// tokenFile is the one of a repository, or else of all; empty if there is none.
func (f *remoteFlags) tokenFile(repo string) (file string) {
	for _, arg := range f.tokenFiles {
		name, own := tokenArg(arg)
		if name == repo && name != "" {
			return own
		}
		if name == "" {
			file = own
		}
	}
	return file
}

// tokenArg takes NAME=FILE apart; of a FILE the name is empty.
func tokenArg(arg string) (name, file string) {
	if name, file, named := strings.Cut(arg, "="); named && !strings.Contains(name, "/") {
		return name, file
	}
	return "", arg
}

// check makes sure that each token has a repository, and goes to no other host
// than meant, nor anywhere in the clear.
func (f *remoteFlags) check(repos []namedRepo) error {
	seen := map[string]bool{}
	for _, arg := range f.tokenFiles {
		name, _ := tokenArg(arg)
		if seen[name] {
			return inputf("--git-token-file %s: there is one for the same repositories already", arg)
		}
		seen[name] = true
		if name != "" && !slices.ContainsFunc(repos, func(r namedRepo) bool { return r.name == name && overHTTP(r.url) != nil }) {
			return inputf("--git-token-file %s: there is no https repository %s; name it with --repo %s=URL", arg, name, name)
		}
	}
	var shared []string // their URLs, who have no token of their own
	for _, repo := range repos {
		u := overHTTP(repo.url)
		if u != nil && u.Scheme == "http" && f.tokenFile(repo.name) != "" && !onLoopback(u.Hostname()) {
			return inputf("--git-token-file: %s would be sent the token in the clear; name the repository by https", shown(repo.url))
		}
		if u != nil && !(repo.name != "" && seen[repo.name]) {
			shared = append(shared, repo.url)
		}
	}
	given := f.remote(namedRepo{})
	return oneHost(shared, given.TokenFile+given.Token+given.Password != "")
}

func onLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// overHTTP is the URL of a repository over http or https; nil of others.
func overHTTP(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
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
	mirror, err := git.Open(ctx, filepath.Join(cache, "lab-layers", "git"), remote.remote(namedRepo{url: repo}), git.Limits{})
	if err != nil {
		return nil, err
	}
	if err := mirror.FetchAll(ctx); err != nil {
		return nil, err
	}
	return mirror.Repository()
}

var namespace = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

// namedRepo is a repository with the name that its images are under, or none.
type namedRepo struct{ name, url string }

// parseRepo takes NAME=URL apart, and makes a directory's path absolute.
func parseRepo(arg string) (repo namedRepo, err error) {
	repo.url = arg
	// A "=" after these belongs to the URL.
	if name, url, named := strings.Cut(arg, "="); named && !strings.ContainsAny(name, "/:") {
		if !namespace.MatchString(name) {
			return repo, inputf("--repo %s: the name must be lower-case letters and digits, with . _ or - between them", shown(arg))
		}
		repo = namedRepo{name, url}
	}
	if !isURL(repo.url) {
		repo.url, err = filepath.Abs(repo.url)
	}
	return repo, err
}

// parseRepos makes sure that several repositories do not share their images'
// names.
func parseRepos(args []string) ([]namedRepo, error) {
	if len(args) == 0 {
		return nil, inputf("name at least one repository with --repo")
	}
	var repos []namedRepo
	for _, arg := range args {
		repo, err := parseRepo(arg)
		if err != nil {
			return nil, err
		}
		if repo.name == "" && len(args) > 1 {
			return nil, inputf("several repositories could have layers of one name: tell their images apart with --repo NAME=%s", shown(arg))
		}
		for _, other := range repos {
			if repo.name == other.name || repo.url == other.url {
				return nil, inputf("--repo %s: its name or its URL is there already", shown(arg))
			}
		}
		repos = append(repos, repo)
	}
	return repos, nil
}

// userinfo is what may be a password, or a token in the place of a user.
var userinfo = regexp.MustCompile(`://.*@`)

// shown is a repository as an error may name it.
func shown(repo string) string { return userinfo.ReplaceAllString(repo, "://") }

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

// oneHost refuses to send the one password or token that there is to several
// hosts.
func oneHost(urls []string, secret bool) error {
	first := ""
	for _, address := range urls {
		u := overHTTP(address)
		if u == nil || !secret {
			continue
		}
		if first == "" {
			first = u.Host
		}
		if u.Host != first {
			return inputf("--git-token-file, LAB_LAYERS_GIT_TOKEN or LAB_LAYERS_GIT_PASSWORD would go to %s and to %s: give each repository its own with --git-token-file NAME=FILE", first, u.Host)
		}
	}
	return nil
}
