package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/agent/schedule"
	"github.com/lab-layers/lab-layers/layers"
)

func newAgent() *cobra.Command {
	var flags stackFlags
	var remote remoteFlags
	var repoArgs, secretRefs []string
	var interval time.Duration
	var workers int
	var limit time.Duration
	var logging logFlags
	var listening listenFlags
	var schedules scheduleFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Watch repositories and keep their images in step",
		Long: `agent polls repositories, and for each ref that moves builds what the move
changes, tags it and records it. It starts what it is not given: PostgreSQL, a
registry and BuildKit, all under --data-dir, on loopback or Unix sockets. At
--listen it receives webhooks and tells of its runs, health and metrics. It runs
until SIGINT or SIGTERM; runs that are under way are taken up again at the
next start.`,
		Example: `  lab-layers agent --repo https://git.example.org/lab.git
  lab-layers agent --repo git@git.example.org:lab.git --registry registry.example.org/lab \
      --database-url postgres://lab@db/lab --buildkit tcp://buildkit:1234`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			repos, err := parseRepos(repoArgs)
			if err != nil {
				return err
			}
			if err := flags.checkSecrets(repos); err != nil {
				return err
			}
			var trusted []layers.RefPattern
			for _, ref := range secretRefs {
				pattern, err := layers.ParseRefPattern(ref)
				if err != nil {
					return inputf("--secret-refs: %w", err)
				}
				trusted = append(trusted, pattern)
			}
			if interval <= 0 {
				return inputf("--interval must be more than 0")
			}
			var urls []string
			for _, repo := range repos {
				urls = append(urls, repo.url)
			}
			given := remote.remote("")
			if err := oneHost(urls, given.Token+given.Password != ""); err != nil {
				return err
			}
			ctx := cmd.Context()
			log := logging.logger(cmd.ErrOrStderr())
			a := &agent.Agent{Interval: interval, Workers: workers, Limit: limit, Log: log, Progress: terminalProgress(cmd.OutOrStdout())}
			entries, err := schedules.entries(a)
			if err != nil {
				return err
			}
			listener, err := listening.listen(ctx, cmd.Flags().Changed("listen"), log)
			if err != nil {
				return err
			}
			if listener != nil {
				defer listener.Close()
			}
			s, err := flags.openStack(ctx, log)
			if err != nil {
				return err
			}
			defer s.close()
			a.Store, a.Carrier, a.Owner = s.store, s.carrier, s.owner
			s.carrier.Trust.Refs = trusted
			s.carrier.Namespaces = map[string]string{}
			for _, repo := range repos {
				mirror, err := git.Open(ctx, filepath.Join(flags.dataDir, "git"), remote.remote(repo.url), git.Limits{})
				if err != nil {
					return err
				}
				s.carrier.Namespaces[mirror.URL()] = repo.name
				a.Sources = append(a.Sources, mirror)
			}
			named := map[string]string{}
			for url, name := range s.carrier.Namespaces {
				named[name] = url
			}
			options, err := listening.options(named)
			if err != nil {
				return err
			}
			if listener != nil {
				stop := listening.serve(listener, options, a, s, log)
				defer stop(ctx)
				s.found.Agent = agentURL(listener)
				if err := s.tell(flags.dataDir); err != nil {
					return err
				}
			}
			var timetable sync.WaitGroup
			timetable.Go(func() { schedule.Run(ctx, log, entries...) })
			defer timetable.Wait()
			return a.Serve(ctx)
		},
	}
	flags.add(cmd)
	remote.add(cmd)
	logging.add(cmd)
	listening.add(cmd)
	schedules.add(cmd)
	cmd.Flags().StringSliceVar(&repoArgs, "repo", nil, "repository to watch: a path, file, http(s), ssh or git URL; several as NAME=URL, whose images are NAME/LAYER")
	cmd.Flags().StringSliceVar(&secretRefs, "secret-refs", nil, "refs whose builds are given secrets and ssh keys, as patterns such as refs/heads/release/**; whoever may push to them can print the secrets (default: main, or master where there is no main)")
	cmd.Flags().DurationVar(&interval, "interval", 30*time.Second, "time between two looks at a repository")
	cmd.Flags().IntVar(&workers, "workers", 2, "runs that go on side by side")
	cmd.Flags().IntVar(&flags.perRepository, "repository-workers", 0, "runs of one repository that go on side by side, on all agents; 0 is no limit")
	cmd.Flags().DurationVar(&limit, "run-limit", 24*time.Hour, "longest that a run may take; 0 is no limit")
	return cmd
}

// owner names this process in its claims.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s/%d/%d", host, os.Getpid(), time.Now().UnixNano())
}

// terminalProgress shows builds live where a person looks on.
func terminalProgress(w io.Writer) agent.Progress {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return liveProgress(w)
	}
	return agent.Progress{}
}

// logFlags say how to log.
type logFlags struct {
	json  bool
	debug bool
	quiet bool // only what is wrong
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "log-json", false, "log in JSON")
	cmd.Flags().BoolVar(&f.debug, "debug", false, "log what the parts print, too")
}

func (f *logFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.quiet {
		options.Level = slog.LevelWarn
	}
	if f.debug {
		options.Level = slog.LevelDebug
	}
	if f.json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
