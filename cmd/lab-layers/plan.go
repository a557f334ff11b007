package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

func newPlan() *cobra.Command {
	var repo, config, from, to string
	var explain bool
	var cluster planCluster
	var export exportFlags
	output := format("table")
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a commit changes, layer by layer, and why",
		Long: `plan compares two commits and says for every layer whether its image can be
reused or must be built, and which input moved. It needs no network and no
database: an image from outside counts by its reference. The keys of layers on such
images, marked with *, are others than an agent's, which looks them up; all else are
the same if --compression, --reproducible and --rebuild are.

With --kubeconfig it also names the environments that follow the branch which the
commit would be merged into and use a layer that would change. With --data-dir or
--database-url, too, the images that an agent built of the commit are held against
the nodes, as the gates do before a rollout, and what is pinned is told. In JSON
these are the keys "into", "records": whether records were looked at, and
"environments": [{"environment": {"namespace", "kind", "name"}, "owner",
"repository", "layers", "gpus", "verdict": "allow|warn|unknown|refuse", "reason",
"waits", "from", "idle"}], the gravest first; "verdict" is not there while nothing
is known to be built, "waits" says why it would not roll at once, "from" when it
would, and "idle" that it waits then until nobody computes.`,
		Example: `  lab-layers plan --explain                    the last commit
  lab-layers plan --from main --to feature/x   a branch, before it is merged
  lab-layers plan --config lab-layers.yaml     with a file that is not committed
  lab-layers plan --from main --to feature/x --kubeconfig ~/.kube/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(cluster.check(cmd), export.check()); err != nil {
				return err
			}
			view, err := openView(cmd.Context(), repo, config, export)
			if err != nil {
				return err
			}
			plan, err := view.between(cmd.Context(), from, to)
			if err != nil {
				return err
			}
			return cluster.show(cmd, view, plan, output.json(), explain)
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "repository: a directory or a URL")
	cmd.Flags().StringVar(&config, "config", "", "use this file for every commit instead of the commit's own lab-layers.yaml")
	cmd.Flags().StringVar(&from, "from", "", "revision to compare with (default: the first parent of --to)")
	cmd.Flags().StringVar(&to, "to", "HEAD", "revision to plan")
	cmd.Flags().BoolVar(&explain, "explain", false, "say every reason")
	cmd.Flags().VarP(&output, "output", "o", "output format")
	export.add(cmd)
	cluster.add(cmd)
	return cmd
}

// view plans commits of one repository without anything else at hand.
type view struct {
	repo    *git.Repository
	name    string
	planner *layers.Planner
	// config is for every commit, if given; otherwise each has its own.
	config *layers.Config
}

func openView(ctx context.Context, repo, config string, export exportFlags) (*view, error) {
	opened, err := openRepository(ctx, repo)
	if err != nil {
		return nil, err
	}
	settings := export.settings()
	settings.Salt = sync.OnceValue(settings.Salt) // one for all plans that are compared
	v := &view{repo: opened, name: repo, planner: layers.NewPlanner(layers.Unresolved, settings)}
	v.config, err = givenConfig(config)
	return v, err
}

// givenConfig reads the file that counts for every commit; nil if none is named.
func givenConfig(file string) (*layers.Config, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, inputError{err}
	}
	config, err := layers.ParseConfig(file, text)
	if err != nil {
		return nil, inputError{err}
	}
	return config, nil
}

// plan makes one commit's plan; nil if the commit has no configuration.
func (v *view) plan(ctx context.Context, commit layers.Commit) (*layers.Plan, error) {
	tree, err := v.repo.Tree(commit)
	if err != nil {
		return nil, err
	}
	cfg := v.config
	if cfg == nil {
		cfg, err = v.planner.Config(tree)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if errors.As(err, new(layers.Faults)) || errors.Is(err, layers.ErrTooLarge) {
			return nil, inputError{err}
		}
		if err != nil {
			return nil, err
		}
	}
	plan, err := v.planner.Plan(ctx, tree, cfg)
	if err != nil {
		return nil, err
	}
	plan.Repo, plan.To = v.name, commit
	return plan, nil
}

// between plans one revision against another; an empty from is the first
// parent.
func (v *view) between(ctx context.Context, from, to string) (*layers.Plan, error) {
	commit, err := v.repo.Resolve(to)
	if err != nil {
		return nil, inputError{err}
	}
	var before layers.Commit
	if from != "" {
		if before, err = v.repo.Resolve(from); err != nil {
			return nil, inputError{err}
		}
	} else {
		info, err := v.repo.Commit(commit)
		if err != nil {
			return nil, err
		}
		if len(info.Parents) > 0 {
			before = info.Parents[0]
		}
	}
	plan, err := v.plan(ctx, commit)
	if err != nil {
		return nil, err
	}
	if plan == nil {
		return nil, inputf("%s has no %s: write one with \"lab-layers init\", or name a file with --config", to, layers.ConfigFile)
	}
	var old *layers.Plan
	if before != "" {
		if old, err = v.plan(ctx, before); err != nil && !errors.As(err, new(inputError)) {
			return nil, err // a broken configuration before is no obstacle
		}
	}
	keys := map[layers.Key]bool{}
	if old != nil {
		for _, layer := range old.Layers {
			keys[layer.Key] = layer.Key != ""
		}
	}
	plan.Decide(func(key layers.Key) bool { return keys[key] })
	if err := v.planner.Compare(ctx, old, plan); err != nil {
		return nil, err
	}
	plan.From = before
	return plan, nil
}
