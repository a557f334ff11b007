package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/agent/schedule"
	"github.com/lab-layers/lab-layers/layers"
)

// agentFlags are all that an agent is told, and what is made of it.
type agentFlags struct {
	config     string
	stack      stackFlags
	remote     remoteFlags
	logging    logFlags
	listening  listenFlags
	schedules  scheduleFlags
	telling    tellFlags
	deploying  deployFlags
	repoArgs   []string
	secretRefs []string
	interval   time.Duration
	workers    int
	branches   int
	limit      time.Duration
	drain      time.Duration

	repos   []namedRepo
	trusted []layers.RefPattern
}

func newAgent() *cobra.Command { return new(agentFlags).command() }

// command is the agent's command with these as its flags.
func (f *agentFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Watch repositories and keep their images in step",
		Long: `agent polls repositories, and for each ref that moves builds what the move
changes, tags it and records it. It starts what it is not given: PostgreSQL, a
registry and BuildKit, all under --data-dir, on loopback or Unix sockets. At
--listen it receives webhooks and tells of its runs, health and metrics. It runs
until SIGINT or SIGTERM; runs that are under way are brought to their end for
as long as --drain says, and then taken up again at the next start, or by another
agent on the same database. A second signal ends the wait.

Each flag may also be an environment variable, such as LAB_LAYERS_RUN_LIMIT for
--run-limit, or a key of the YAML file that --config names, such as "run-limit";
flags that may be given several times are lists there. A flag counts before the
environment, and that before the file. At SIGHUP the file is read anew and the
agent starts again with it in the same process; a file that has faults changes
nothing.`,
		Example: `  lab-layers agent --repo https://git.example.org/lab.git
  lab-layers agent --config /etc/lab-layers/agent.yaml
  lab-layers agent --repo git@git.example.org:lab.git --registry registry.example.org/lab \
      --database-url postgres://lab@db/lab --buildkit tcp://buildkit:1234`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd.Flags()); err != nil {
				return err
			}
			_, args, err := cmd.Root().Find(os.Args[1:])
			if err != nil {
				return err
			}
			t := newTerms(args, cmd.OutOrStdout(), cmd.ErrOrStderr())
			defer t.close()
			return t.serve(cmd.Context(), f)
		},
	}
	f.stack.add(cmd)
	f.remote.add(cmd)
	f.logging.add(cmd)
	f.listening.add(cmd)
	f.schedules.add(cmd)
	f.telling.add(cmd)
	f.deploying.add(cmd)
	cmd.Flags().StringVar(&f.config, "config", "", "YAML file with values for these flags, read anew at SIGHUP")
	cmd.Flags().StringSliceVar(&f.repoArgs, "repo", nil, "repository to watch: a path, file, http(s), ssh or git URL; several as NAME=URL, whose images are NAME/LAYER")
	cmd.Flags().StringSliceVar(&f.secretRefs, "secret-refs", nil, "refs whose builds are given secrets and ssh keys, as patterns such as refs/heads/release/**; whoever may push to them can print the secrets (default: main, or master where there is no main)")
	cmd.Flags().DurationVar(&f.interval, "interval", 30*time.Second, "time between two looks at a repository")
	cmd.Flags().IntVar(&f.branches, "first-branches", 20, "most branches, besides main, that are built of a repository that is seen for the first time; where it has more, each is built when it next moves; 0 is no limit")
	cmd.Flags().IntVar(&f.workers, "workers", 2, "runs that go on side by side")
	cmd.Flags().IntVar(&f.stack.perRepository, "repository-workers", 0, "runs of one repository that go on side by side, on all agents (default: no limit)")
	cmd.Flags().DurationVar(&f.limit, "run-limit", 24*time.Hour, "longest that a run may take; 0 is no limit")
	cmd.Flags().DurationVar(&f.drain, "drain", 0, "how long runs that are under way may go on when the agent is to stop (default: they are handed over at once)")
	return cmd
}

// complete takes what the command line does not say from the environment and
// the file, and checks it all.
func (f *agentFlags) complete(flags *pflag.FlagSet) error {
	if err := setFromEnvironment(flags, os.LookupEnv); err != nil {
		return err
	}
	var file agentFile
	if f.config != "" {
		var err error
		if file, err = readAgentFile(f.config, flags); err != nil {
			return err
		}
	}
	f.listening.chosen = flags.Changed("listen")
	return file.locate(f.check())
}

func (f *agentFlags) check() (err error) {
	if f.repos, err = parseRepos(f.repoArgs); err != nil {
		return err
	}
	if err := f.stack.checkSecrets(f.repos); err != nil {
		return err
	}
	if _, err := f.stack.tls.check(f.stack.buildkit); err != nil {
		return err
	}
	f.trusted = nil
	for _, ref := range f.secretRefs {
		pattern, err := layers.ParseRefPattern(ref)
		if err != nil {
			return inputf("--secret-refs: %w", err)
		}
		f.trusted = append(f.trusted, pattern)
	}
	if f.interval <= 0 {
		return inputf("--interval must be more than 0")
	}
	if err := f.stack.export.check(); err != nil {
		return err
	}
	if _, err := f.schedules.entries(new(agent.Agent), nil); err != nil {
		return err
	}
	var urls []string
	for _, repo := range f.repos {
		urls = append(urls, repo.url)
	}
	if _, err := f.telling.targets(urls); err != nil {
		return err
	}
	if f.deploying.kubeconfig != inCluster { // that is known only there
		if _, err := f.deploying.client(); err != nil {
			return err
		}
	}
	return f.remote.check(f.repos)
}

// serve runs the agent. When idle ends it takes up nothing new, and returns
// when the runs under way have ended, or have been handed over as ctx ends.
func (f *agentFlags) serve(ctx, idle context.Context, out io.Writer, log *slog.Logger) error {
	a := &agent.Agent{
		Interval: f.interval, FirstBranches: f.branches, Workers: f.workers, Limit: f.limit, Log: log,
		Progress: terminalProgress(out), Stopping: idle.Done(),
		Due: func() time.Time { return f.stack.export.rebuild.times.Last(time.Now()) },
	}
	traced, endTraces, err := startTraces(idle, log)
	if err != nil {
		return err
	}
	defer endTraces()
	a.Progress = a.Progress.And(traced)
	var s *stack
	entries, err := f.schedules.entries(a, func(ctx context.Context) error { return f.schedules.clean(ctx, s, log) })
	if err != nil {
		return err
	}
	listener, err := f.listening.listen(idle, log)
	if err != nil {
		return err
	}
	if listener != nil {
		defer listener.Close()
	}
	s, err = f.stack.openStack(idle, log)
	if err != nil {
		return err
	}
	defer s.close()
	if s.embedded != nil {
		stop, err := s.serveControl(f.stack.dataDir, log)
		if err != nil {
			log.Warn("cannot listen to commands; clean-up is on schedule only", "error", err)
		} else {
			defer stop(ctx)
		}
	}
	a.Store, a.Carrier, a.Owner = s.store, s.carrier, s.owner
	s.carrier.Trust.Refs = f.trusted
	s.carrier.Namespaces = map[string]string{}
	for _, repo := range f.repos {
		mirror, err := git.Open(idle, filepath.Join(f.stack.dataDir, "git"), f.remote.remote(repo), git.Limits{})
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
	options, err := f.listening.options(named, f.stack.dataDir)
	if err != nil {
		return err
	}
	rolls, err := f.deploying.rolling(idle, s.store, s.found.Registry, named, log)
	if err != nil {
		return err
	}
	if listener != nil {
		options.Checks.Lesser, options.Collectors = rolls.checks(), rolls.collectors()
		stop := f.listening.serve(listener, options, a, s, log)
		defer stop(ctx)
		s.found.Agent = agentURL(listener)
		if err := s.tell(f.stack.dataDir); err != nil {
			return err
		}
	}
	outlook, err := f.deploying.outlook(s.store, s.found.Registry, named, log)
	if err != nil {
		return err
	}
	herald, err := f.telling.herald(a, s.store, outlook, log)
	if err != nil {
		return err
	}
	if herald != nil {
		rolls.tell(herald.Wake)
		defer keep(herald.Serve)(ctx) // it tells of runs that drain, too
	}
	defer keep(rolls.serve)(ctx)
	var timetable sync.WaitGroup
	timetable.Go(func() { schedule.Run(idle, log, entries...) })
	defer timetable.Wait()
	return a.Serve(ctx)
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
