package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/deploy"
)

func newTasks() *cobra.Command {
	var flags recordFlags
	var namespace, user string
	var limit int
	var output listFormat
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "Show the training tasks of the cluster, and how long each waited and ran",
		Long: `tasks lists the LabTasks that an operator served, the newest first, also those that
are gone from the cluster: who submitted each, the image that it had, how long it
waited for a node, started, ran, and took to free its resources, and what became of
it.`,
		Example: `  lab-layers tasks --user ada@uni.example
  lab-layers tasks -n vision -o json`,
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
			tasks, err := store.Tasks(cmd.Context(), namespace, user, limit)
			if err != nil {
				return err
			}
			return printTasks(cmd.OutOrStdout(), output, tasks)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only this namespace")
	cmd.Flags().StringVar(&user, "user", "", "only what this user submitted")
	cmd.Flags().IntVar(&limit, "limit", 50, "the newest so many tasks")
	output.add(cmd)
	return cmd
}

// listedTask is a task with the times between its stamps, in seconds; those that
// are not known are left out.
type listedTask struct {
	deploy.Task
	Scheduling     *float64 `json:"scheduling_seconds,omitempty"`
	Initialisation *float64 `json:"initialisation_seconds,omitempty"`
	Ran            *float64 `json:"run_seconds,omitempty"`
	Reclaim        *float64 `json:"reclaim_seconds,omitempty"`
}

func printTasks(w io.Writer, output listFormat, tasks []deploy.Task) error {
	seconds := func(d *time.Duration) *float64 {
		if d == nil {
			return nil
		}
		return new(d.Seconds())
	}
	var listed []listedTask
	for _, t := range tasks {
		d := t.Durations()
		listed = append(listed, listedTask{t, seconds(d.Scheduling), seconds(d.Initialisation), seconds(d.Run), seconds(d.Reclaim)})
	}
	heading := []string{"TASK", "USER", "STATE", "LAYER", "IMAGE", "COMMIT", "GPUS", "SUBMITTED", "WAITED", "INIT", "RAN", "RECLAIM", "REASON"}
	return printList(w, output, heading, listed, func(t listedTask) []string { return taskRow(t, output.wide()) })
}

func taskRow(t listedTask, wide bool) []string {
	shown := func(d *time.Duration) string {
		if d == nil {
			return ""
		}
		return d.String()
	}
	image, commit := string(t.Digest), string(t.Commit)
	if !wide {
		commit = t.Commit.Short()
		if t.Digest != "" {
			image = shortImage("@" + image)
		}
	}
	d := t.Durations()
	return []string{
		t.String(), t.User, string(t.State), string(t.Layer), image, commit, numberOf(int64(t.GPUs)),
		t.Submitted.UTC().Format(time.DateTime), shown(d.Scheduling), shown(d.Initialisation), shown(d.Run), shown(d.Reclaim), t.Reason,
	}
}

// numberOf is a number of GPUs as kubectl shows it: nothing where there are none.
func numberOf(gpus int64) string {
	if gpus == 0 {
		return ""
	}
	return fmt.Sprint(gpus)
}
