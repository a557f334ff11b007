package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func newHistory() *cobra.Command {
	var flags recordFlags
	var layer, ref, repo, commit string
	var limit int
	var output listFormat
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what was built when, from what, and why",
		Long: `history lists what became of each layer in each run, the newest first: whether it
was built, reused, failed, or blocked by one that did, the image that it has, and why
it was built or failed.`,
		Example: `  lab-layers history --layer resnet50 --ref main
  lab-layers history --commit 6f0c1b2a9d3e -o wide`,
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
			entries, err := store.History(cmd.Context(), postgres.HistoryFilter{
				Layer: layers.Name(layer), Ref: layers.Ref(ref), Repository: repo, Limit: most(limit, commit != ""),
			})
			if err != nil {
				return err
			}
			entries = slices.DeleteFunc(entries, func(e agent.HistoryEntry) bool {
				return !strings.HasPrefix(string(e.Commit), commit)
			})
			heading := []string{"TIME", "RUN", "REF", "COMMIT", "LAYER", "OUTCOME", "SECONDS", "DIGEST", "WHY"}
			return printList(cmd.OutOrStdout(), output, heading, entries[:min(limit, len(entries))], func(e agent.HistoryEntry) []string {
				return historyRow(e, output.wide())
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&layer, "layer", "", "only this layer")
	cmd.Flags().StringVar(&ref, "ref", "", "only this ref, branch or tag")
	cmd.Flags().StringVar(&repo, "repo", "", "only the repository with this URL")
	cmd.Flags().StringVar(&commit, "commit", "", "only commits whose id begins so")
	cmd.Flags().IntVar(&limit, "limit", 100, "the newest so many layers")
	output.add(cmd)
	return cmd
}

// most is how many records to read for a limit that counts what a filter
// leaves.
func most(limit int, filtered bool) int {
	if filtered {
		return 10_000
	}
	return limit
}

func historyRow(e agent.HistoryEntry, wide bool) []string {
	commit, image, seconds := e.Commit.Short(), fmt.Sprintf("%.19s", e.Digest), ""
	if wide {
		commit, image = string(e.Commit), string(e.Digest)
	}
	if e.Seconds > 0 {
		seconds = fmt.Sprintf("%.2f", e.Seconds)
	}
	return []string{
		e.Time.Local().Format("2006-01-02 15:04:05"), fmt.Sprint(e.Run), shortRef(e.Ref), commit,
		string(e.Layer), string(e.State), seconds, image, whyEntry(e),
	}
}

func whyEntry(e agent.HistoryEntry) string {
	switch {
	case e.State == pipeline.Reused:
		return ""
	case e.Error != nil:
		return e.Error.Text
	case len(e.Reasons) > 0 && e.Reasons[0].Kind == layers.ReasonBaseImage: // with both digests
		return strings.Join(append([]string{e.Reasons[0].Detail}, e.ChangedPaths...), ", ")
	case len(e.ChangedPaths) > 0:
		return strings.Join(e.ChangedPaths, ", ")
	case len(e.Reasons) > 0:
		return string(e.Reasons[0].Kind) + ": " + e.Reasons[0].Detail
	case len(e.Notes) > 0:
		return e.Notes[len(e.Notes)-1]
	}
	return ""
}

func shortRef(ref layers.Ref) string {
	return strings.TrimPrefix(strings.TrimPrefix(string(ref), "refs/heads/"), "refs/")
}
