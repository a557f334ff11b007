package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/forge"
	"github.com/lab-layers/lab-layers/agent/notify"
	"github.com/lab-layers/lab-layers/agent/postgres"
)

// tellPatience is how long a run builds before forges are told: most end sooner.
const tellPatience = 3 * time.Second

// forgeKinds are what --forge takes beside none.
var forgeKinds = map[string]func(forge.Options) (forge.Forge, error){
	"github": forge.NewGitHub,
	"gitlab": forge.NewGitLab,
	"gitea":  forge.NewGitea,
}

// tellFlags say who is told how runs go.
type tellFlags struct {
	forge      string
	forgeURL   string
	tokenFile  string
	publicURL  string
	notify     []string
	secretFile string
}

func (f *tellFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.forge, "forge", "none", "forge that the repositories are on, to be told of runs by statuses and comments: github, gitlab, gitea (Forgejo too) or none")
	cmd.Flags().StringVar(&f.forgeURL, "forge-url", "", "URL of the forge as people see it (default: https at the repositories' host)")
	cmd.Flags().StringVar(&f.tokenFile, "forge-token-file", "", "file with a token that may write statuses and comments; read anew each time (or LAB_LAYERS_FORGE_TOKEN)")
	cmd.Flags().StringVar(&f.publicURL, "public-url", "", "URL at which people reach this agent, for links to runs")
	cmd.Flags().StringSliceVar(&f.notify, "notify", nil, "URLs that get a CloudEvent when a run builds or a rollout begins, and when it ends")
	cmd.Flags().StringVar(&f.secretFile, "notify-secret-file", "", "file with the secret that signs these events; read anew each time")
}

// targets are those told of the repositories at some URLs.
func (f *tellFlags) targets(urls []string) (targets []agent.Target, err error) {
	link, err := f.link()
	if err != nil {
		return nil, err
	}
	if f.forge != "none" && f.forge != "" {
		target, err := f.forgeTarget(urls, link)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	var secret func() (string, error)
	if f.secretFile != "" {
		secret = func() (string, error) { return readToken(f.secretFile) }
		if _, err := secret(); err != nil {
			return nil, err
		}
	}
	for i, address := range f.notify {
		target, err := notify.New(address, secret, link)
		if err != nil {
			return nil, inputf("--notify, URL %d: %w", i+1, err)
		}
		targets = append(targets, target)
	}
	return targets, nil
}

func (f *tellFlags) forgeTarget(urls []string, link func(agent.Run) string) (*forge.Target, error) {
	open, ok := forgeKinds[f.forge]
	if !ok {
		return nil, inputf("--forge %s: take github, gitlab, gitea or none", f.forge)
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	address := f.forgeURL
	prefix := ""
	if u, err := url.Parse(address); err == nil {
		prefix = u.Path
	}
	projects := map[string]forge.Project{}
	host := ""
	for _, repository := range urls {
		p, err := forge.ParseProject(repository, prefix)
		if err != nil {
			return nil, inputf("--forge %s: %w", f.forge, err)
		}
		if host != "" && p.Host != host {
			return nil, inputf("--forge %s: the repositories are on %s and %s: run an agent for each forge", f.forge, host, p.Host)
		}
		host, projects[repository] = p.Host, p
	}
	if address == "" {
		address = "https://" + host
		if strings.Contains(host, ":") {
			address = "https://[" + host + "]"
		}
		if u, err := url.Parse(urls[0]); err == nil && u.Scheme == "https" {
			address = "https://" + u.Host // with its port
		}
	}
	opened, err := open(forge.Options{URL: address, Token: token})
	if err != nil {
		return nil, inputf("--forge-url: %w", err)
	}
	return &forge.Target{Forge: opened, Label: f.forge + " " + strings.TrimSuffix(address, "/"), Projects: projects, Link: link}, nil
}

// token reads the forge's token each time, so that it can be renewed.
func (f *tellFlags) token() (func() (string, error), error) {
	if f.tokenFile != "" {
		read := func() (string, error) { return readToken(f.tokenFile) }
		_, err := read()
		return read, err
	}
	token := os.Getenv("LAB_LAYERS_FORGE_TOKEN")
	if token == "" {
		return nil, inputf("--forge %s needs a token that may write statuses and comments: give --forge-token-file or LAB_LAYERS_FORGE_TOKEN", f.forge)
	}
	return func() (string, error) { return token, nil }, nil
}

// link leads to a run; nil where nobody knows how the agent is reached.
func (f *tellFlags) link() (func(agent.Run) string, error) {
	if f.publicURL == "" {
		return nil, nil
	}
	u := bareURL(f.publicURL)
	if u == nil {
		return nil, inputf("--public-url: it looks like https://labs.example.org")
	}
	return func(run agent.Run) string { return u.JoinPath("api/v1/runs", fmt.Sprint(run.ID)).String() }, nil
}

// herald tells of an agent's runs and rollouts and, where there is a cluster, of what
// their merges would roll, and has the agent's progress told to it; nil if nobody is to
// be told.
func (f *tellFlags) herald(a *agent.Agent, records *postgres.Store, outlook *mergeOutlook, log *slog.Logger) (*agent.Herald, error) {
	var urls []string
	for _, source := range a.Sources {
		urls = append(urls, source.URL())
	}
	targets, err := f.targets(urls)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	for _, target := range targets {
		if told, ok := target.(*forge.Target); ok && outlook != nil {
			told.Outlook = outlook
		}
	}
	h := &agent.Herald{Records: records, Rollouts: records, Targets: targets, Repositories: urls, Patience: tellPatience, Log: log}
	a.Progress = a.Progress.And(h.Progress())
	return h, nil
}
