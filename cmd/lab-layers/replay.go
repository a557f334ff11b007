package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
)

func newReplay() *cobra.Command {
	var repo, config, commits string
	var last int
	output := format("table")
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Show what would have been built over a repository's history",
		Long: `replay plans every commit of a history, oldest first along first parents, and
counts what lab-layers would have built against rebuilding every layer, and
against rebuilding each layer whose directory changed with all that stands on
it. An image is reused wherever any earlier commit of the history has made it.`,
		Example: `  lab-layers replay --last 100
  lab-layers replay --repo https://git.example.org/lab.git --config lab-layers.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			view, err := openView(cmd.Context(), repo, config, usualExport())
			if err != nil {
				return err
			}
			history, before, err := view.history(commits, last)
			if err != nil {
				return err
			}
			r := &replay{
				view: view, out: cmd.OutOrStdout(), json: output.json(), made: map[layers.Key]bool{},
				progress: newCounter(cmd.ErrOrStderr(), "commits", len(history)),
			}
			return r.run(cmd.Context(), history, before)
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "repository: a directory or a URL")
	cmd.Flags().StringVar(&config, "config", "", "use this file for every commit instead of the commit's own lab-layers.yaml")
	cmd.Flags().IntVar(&last, "last", 0, "only the last N commits")
	cmd.Flags().StringVar(&commits, "range", "", "only the commits A..B")
	cmd.Flags().VarP(&output, "output", "o", "output format")
	return cmd
}

// history lists the commits to replay, oldest first, and the one before them.
func (v *view) history(commits string, last int) (list []git.CommitInfo, before layers.Commit, err error) {
	from, to := "", "HEAD"
	if commits != "" {
		var ok bool
		if from, to, ok = strings.Cut(commits, ".."); !ok || from == "" {
			return nil, "", inputf("--range %q: want A..B", commits)
		}
		if to == "" {
			to = "HEAD"
		}
		if before, err = v.repo.Resolve(from); err != nil {
			return nil, "", inputError{err}
		}
	}
	head, err := v.repo.Resolve(to)
	if err != nil {
		return nil, "", inputError{err}
	}
	list, err = v.repo.FirstParents(before, head, last)
	if err != nil {
		return nil, "", err
	}
	if before == "" && len(list) > 0 && len(list[0].Parents) > 0 {
		before = list[0].Parents[0]
	}
	return list, before, nil
}

// replay plans commit after commit and keeps the score.
type replay struct {
	view *view
	out  io.Writer
	json bool
	made map[layers.Key]bool
	// progress is for people who wait.
	progress *counter

	commits, builds, all, directories int
}

// replayed is one line of JSON output.
type replayed struct {
	*layers.Plan
	Builds      int     `json:"builds"`
	LayersTotal int     `json:"layers_total"`
	Seconds     float64 `json:"seconds"`
}

func (r *replay) run(ctx context.Context, history []git.CommitInfo, before layers.Commit) error {
	began := time.Now()
	var old *layers.Plan
	if before != "" {
		var err error
		if old, err = r.view.plan(ctx, before); err != nil && !errors.As(err, new(inputError)) {
			return err
		}
		r.remember(old)
	}
	defer r.progress.clear()
	for p, err := range r.view.planAhead(ctx, history, old) {
		if err != nil {
			return err
		}
		r.progress.step()
		if p.plan == nil {
			continue
		}
		p.plan.Decide(func(key layers.Key) bool { return r.made[key] })
		if err := r.score(p.commit, old, p.plan, p.took); err != nil {
			return err
		}
		r.remember(p.plan)
		old = p.plan
	}
	r.progress.clear()
	return r.sum(time.Since(began))
}

func (r *replay) remember(plan *layers.Plan) {
	if plan == nil {
		return
	}
	for _, layer := range plan.Layers {
		if layer.Key != "" {
			r.made[layer.Key] = true
		}
	}
}

func (r *replay) score(commit git.CommitInfo, old, plan *layers.Plan, took time.Duration) error {
	builds, there := plan.Builds(), 0
	for _, layer := range plan.Layers {
		if layer.Step != layers.Absent {
			there++
		}
	}
	r.commits++
	r.builds += builds
	r.all += there
	r.directories += plan.DirectoriesChanged(old)
	if r.json {
		r.progress.clear()
		return printJSON(r.out, replayed{Plan: plan, Builds: builds, LayersTotal: len(plan.Layers), Seconds: took.Seconds()})
	}
	if builds == 0 {
		return nil
	}
	var names []string
	for _, layer := range plan.Layers {
		if layer.Step == layers.Build {
			names = append(names, string(layer.Name))
		}
	}
	r.progress.clear()
	_, err := fmt.Fprintf(r.out, "%s %s %3d of %-3d %s  (%s)\n", commit.Time.Format("2006-01-02"), commit.Commit.Short(), builds, there,
		cut(strings.Join(names, " "), 60), cut(commit.Subject, 50))
	return err
}

func (r *replay) sum(took time.Duration) error {
	if r.json {
		return nil
	}
	if r.commits == 0 {
		return inputf("no commit of this history has a %s: write one with \"lab-layers init\" and name it with --config", layers.ConfigFile)
	}
	fmt.Fprintf(r.out, "\n%d commits planned in %s (%.0f a second)\n\n", r.commits, took.Round(time.Millisecond), float64(r.commits)/took.Seconds())
	percent := func(n int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(1, r.all))) }
	return table(r.out,
		[]string{"WAY", "BUILDS", "OF ALL"},
		[]string{"rebuild every layer at each commit", fmt.Sprint(r.all), "100 %"},
		[]string{"rebuild what directories changed, and all above", fmt.Sprint(r.directories), percent(r.directories)},
		[]string{"lab-layers", fmt.Sprint(r.builds), percent(r.builds)},
	)
}
