package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func newBuild() *cobra.Command {
	var flags stackFlags
	var remote remoteFlags
	var logging logFlags
	var repoArg, rev, configFile string
	output := format("table")
	cmd := &cobra.Command{
		Use:   "build [LAYER…]",
		Short: "Build one revision in the foreground",
		Long: `build does once what the agent does: it plans a revision, builds what has no
image yet, and shows the builds as they go. A revision that is a branch or tag
is recorded and tagged like a push of it. With layers named, only those and what
they stand on are built, and nothing is tagged.`,
		Example: `  lab-layers build                     the commit of the working directory
  lab-layers build --rev main          main, tagged as after a push
  lab-layers build resnet50            one layer, and what it stands on`,
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := parseRepo(repoArg)
			if err != nil {
				return err
			}
			if err := flags.export.check(); err != nil {
				return err
			}
			if err := flags.checkSecrets([]namedRepo{repo}); err != nil {
				return err
			}
			if err := remote.check([]namedRepo{repo}); err != nil {
				return err
			}
			config, err := givenConfig(configFile)
			if err != nil {
				return err
			}
			logging.quiet = true
			log := logging.logger(cmd.ErrOrStderr())
			s, err := flags.openStack(cmd.Context(), log)
			if err != nil {
				return err
			}
			defer s.close()
			mirror, err := git.Open(cmd.Context(), filepath.Join(flags.dataDir, "git"), remote.remote(repo), git.Limits{})
			if err != nil {
				return inputError{err}
			}
			s.carrier.Config = config
			s.carrier.Namespaces = map[string]string{mirror.URL(): repo.name}
			b := &foreground{stack: s, source: mirror, progress: liveProgress(cmd.ErrOrStderr()), json: output.json(), out: cmd.OutOrStdout()}
			ref, commit, err := b.resolve(cmd.Context(), mirror, rev)
			if err != nil {
				return err
			}
			return b.build(cmd.Context(), ref, commit, args)
		},
	}
	flags.add(cmd)
	remote.add(cmd)
	logging.add(cmd)
	cmd.Flags().StringVar(&repoArg, "repo", ".", "repository: a directory or a URL, or NAME=URL as the agent has it")
	cmd.Flags().StringVar(&configFile, "config", "", "use this file instead of the commit's own lab-layers.yaml")
	cmd.Flags().StringVar(&rev, "rev", "HEAD", "revision to build")
	cmd.Flags().VarP(&output, "output", "o", "output format")
	return cmd
}

// foreground carries out one run that is not in the queue.
type foreground struct {
	stack    *stack
	source   agent.Source
	progress agent.Progress
	json     bool
	out      io.Writer
}

// resolve finds the commit of a revision, and the ref that it is, if it is one:
// HEAD is the branch that is checked out there.
func (b *foreground) resolve(ctx context.Context, mirror *git.Mirror, rev string) (layers.Ref, layers.Commit, error) {
	if err := mirror.FetchAll(ctx); err != nil {
		return "", "", err
	}
	repo, err := mirror.Repository()
	if err != nil {
		return "", "", err
	}
	commit, err := repo.Resolve(rev)
	if err != nil {
		return "", "", inputError{err}
	}
	refs, err := mirror.Refs(ctx)
	if err != nil {
		return "", "", err
	}
	names := []layers.Ref{layers.Ref(rev), layers.Ref("refs/heads/" + rev), layers.Ref("refs/tags/" + rev)}
	if rev == "HEAD" || rev == "@" {
		head, err := repo.Head()
		if err != nil {
			return "", "", err
		}
		names = []layers.Ref{head}
	}
	for _, name := range names {
		if refs[name] == commit {
			return name, commit, nil
		}
	}
	return "", commit, nil
}

// built is the JSON output.
type built struct {
	Run      agent.RunID        `json:"run,omitempty"`
	State    agent.State        `json:"state"`
	Reason   string             `json:"reason,omitempty"`
	Commit   string             `json:"commit"`
	Outcomes []pipeline.Outcome `json:"outcomes"`
	Tags     []agent.Tag        `json:"tags"`
}

func (b *foreground) build(ctx context.Context, ref layers.Ref, commit layers.Commit, only []string) error {
	id, err := b.stack.store.Repository(ctx, b.source.URL())
	if err != nil {
		return err
	}
	run := agent.Run{Move: agent.Move{Repository: id, URL: b.source.URL(), Ref: ref, New: commit}}
	var verdict agent.Verdict
	seen, err := b.stack.store.Refs(ctx, id)
	if err != nil {
		return err
	}
	run.Move.Old = seen[ref]
	if ref == "" || len(only) > 0 || run.Move.Old == commit {
		verdict, err = b.unrecorded(ctx, run, only)
	} else {
		verdict, err = b.recorded(ctx, &run)
	}
	if err != nil {
		return err
	}
	if b.json {
		err = printJSON(b.out, built{Run: run.ID, State: verdict.State, Reason: verdict.Reason, Commit: string(commit), Outcomes: verdict.Outcomes, Tags: verdict.Tags})
	} else {
		printVerdict(b.out, run, verdict)
	}
	if err == nil && verdict.State != agent.Succeeded {
		err = silentError{inputf("%s", verdict.Reason)}
	}
	return err
}

// recorded does what the agent would do with a push of the ref.
func (b *foreground) recorded(ctx context.Context, run *agent.Run) (agent.Verdict, error) {
	// Who gives a secret here has named the ref to build with it. Other runs of
	// the repository that are in the queue are not given it.
	trusted, err := layers.ParseRefPattern(string(run.Move.Ref))
	if err != nil {
		return agent.Verdict{}, inputError{err}
	}
	b.stack.carrier.Trust.Refs = []layers.RefPattern{trusted}
	runs, err := b.stack.store.Record(ctx, []agent.Move{run.Move})
	if err != nil {
		return agent.Verdict{}, err
	}
	if len(runs) != 1 {
		return agent.Verdict{}, errors.New("the ref moved meanwhile: try again")
	}
	*run = runs[0]
	var verdict *agent.Verdict
	var putOff error
	progress := b.progress
	progress.End = func(ended agent.Run, v agent.Verdict) {
		if ended.ID == run.ID {
			verdict = &v
		}
	}
	progress.Again = func(released agent.Run, why error) {
		if released.ID == run.ID {
			putOff = why
		}
	}
	a := agent.Agent{
		Store: b.stack.store, Carrier: b.stack.carrier, Sources: []agent.Source{b.source},
		Owner: b.stack.owner, Progress: progress, Log: slog.New(slog.DiscardHandler),
	}
	for verdict == nil {
		worked, err := a.Work(ctx)
		switch {
		case err != nil || putOff != nil:
			return agent.Verdict{}, errors.Join(putOff, err)
		case !worked:
			return agent.Verdict{}, fmt.Errorf("run %d is another agent's, or waits behind an earlier run of %s", run.ID, run.Move.Ref)
		}
	}
	return *verdict, nil
}

// unrecorded builds some layers, or a commit that no ref has just moved to. Its
// images are recorded under their keys, but make no snapshot. The commit of a
// ref gets its tags again, should somebody have moved them.
func (b *foreground) unrecorded(ctx context.Context, run agent.Run, only []string) (agent.Verdict, error) {
	end, err := b.stack.store.Building(ctx)
	if err != nil {
		return agent.Verdict{}, err
	}
	defer end()
	if err := b.source.Fetch(ctx, run.Move.Ref, run.Move.New); err != nil {
		return agent.Verdict{}, err
	}
	plan, cfg, err := b.stack.carrier.Plan(ctx, b.source, run.Move.New)
	if err != nil {
		return agent.Verdict{}, err
	}
	if err := plan.Keep(only); err != nil {
		return agent.Verdict{}, inputError{err}
	}
	trunk, err := agent.FindTrunk(ctx, b.stack.store, run.Move.Repository)
	if err != nil {
		return agent.Verdict{}, err
	}
	var tags layers.TagSet
	if len(only) == 0 {
		if tags, _, err = b.stack.carrier.Tags(ctx, b.source, run.Move, trunk, cfg); err != nil {
			return agent.Verdict{}, err
		}
	}
	grant := b.stack.carrier.Grant(b.source, run.Move.Ref, trunk)
	grant.Withheld = "" // who gives a secret here has named the revision
	return b.stack.carrier.Make(ctx, agent.Task{Run: run, Source: b.source, Progress: b.progress}, plan, tags, grant)
}
