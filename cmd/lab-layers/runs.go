package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
)

func newRuns() *cobra.Command {
	var flags recordFlags
	var ref, commit string
	var final, watch bool
	var limit int
	var output listFormat
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "Show the agent's runs and their states",
		Long: `runs lists the runs, one for each move of a branch or tag, the newest first: queued,
building, deploying, then succeeded, failed, superseded or cancelled. What a run did
with each layer is in history, and what its builds said in logs.`,
		Example: `  lab-layers runs --ref main
  lab-layers runs --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return inputf("--limit must be at least 1")
			}
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			list := func(ctx context.Context) ([]agent.RunSummary, error) {
				runs, err := store.Runs(ctx, most(limit, ref != "" || commit != "" || final))
				runs = slices.DeleteFunc(runs, func(run agent.RunSummary) bool {
					return ref != "" && string(run.Move.Ref) != ref && shortRef(run.Move.Ref) != ref ||
						!strings.HasPrefix(string(run.Move.New), commit) || final && !run.State.Final()
				})
				return runs[:min(limit, len(runs))], err
			}
			if watch {
				return watchRuns(cmd.Context(), cmd.OutOrStdout(), output, list)
			}
			runs, err := list(cmd.Context())
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), output, runHeading, runs, runRow(output))
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&ref, "ref", "", "only this ref, branch or tag")
	cmd.Flags().StringVar(&commit, "commit", "", "only commits whose id begins so")
	cmd.Flags().BoolVar(&final, "final", false, "only runs that have ended")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on and show each run again when its state changes")
	cmd.Flags().IntVar(&limit, "limit", 100, "the newest so many runs")
	output.add(cmd)
	return cmd
}

var runHeading = []string{"RUN", "STATE", "REF", "COMMIT", "BUILT", "REUSED", "FAILED", "SECONDS", "REASON"}

// watchRuns prints runs, the oldest first, and again each whose state changes,
// until the context ends.
func watchRuns(ctx context.Context, w io.Writer, output listFormat, list func(context.Context) ([]agent.RunSummary, error)) error {
	shown := map[agent.RunID]agent.State{}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for first := true; ; first = false {
		runs, err := list(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		slices.Reverse(runs)
		runs = slices.DeleteFunc(runs, func(run agent.RunSummary) bool { return shown[run.ID] == run.State })
		for _, run := range runs {
			shown[run.ID] = run.State
		}
		switch {
		case output.json() || first:
			err = printList(w, output, runHeading, runs, runRow(output))
		default:
			for _, run := range runs {
				row := runRow(output)(run)
				if !output.wide() {
					fit([][]string{row}, lineLength(w))
				}
				if _, err = fmt.Fprintln(w, oneLine(strings.Join(row, between))); err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func runRow(output listFormat) func(agent.RunSummary) []string {
	return func(run agent.RunSummary) []string {
		commit, seconds := run.Move.New.Short(), ""
		if output.wide() {
			commit = string(run.Move.New)
		}
		if run.State.Final() {
			seconds = fmt.Sprintf("%.2f", run.Seconds)
		}
		state := string(run.State)
		if run.State == agent.Queued && run.Attempt > 0 {
			state = fmt.Sprintf("%s (tried %d)", state, run.Attempt)
		}
		return []string{
			fmt.Sprint(run.ID), state, shortRef(run.Move.Ref), commit,
			fmt.Sprint(run.Built), fmt.Sprint(run.Reused), fmt.Sprint(run.Failed), seconds, run.Reason,
		}
	}
}
