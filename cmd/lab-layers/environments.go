package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
)

func newEnvironments() *cobra.Command {
	var flags recordFlags
	var namespace string
	var output listFormat
	cmd := &cobra.Command{
		Use:   "environments",
		Short: "Show where each environment of the cluster stands, and why",
		Long: `environments lists the workloads that an agent with --kubeconfig looks after. The
state is that of the last rollout (pending, held, rolling, rolling-back, healthy,
failed, rolled-back), or waiting for images, degraded, drifted (somebody set an image
by hand) or faulty (its annotations are). NODES is on how many of the nodes that its
pods may run on the images are: those that it has, or is about to get. Where nobody
deploys on the database, standard error says so: all is as it was recorded last then.`,
		Example: `  lab-layers environments -n vision
  lab-layers environments -o wide       whole digests and reasons, the nodes that lack images`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			listed, err := store.Environments(cmd.Context())
			if err != nil {
				return err
			}
			var shown []deploy.Listed
			for _, e := range listed {
				if namespace == "" || e.Environment.Namespace == namespace {
					shown = append(shown, e)
				}
			}
			heading := []string{"ENVIRONMENT", "STATE", "TRACK", "COMMIT", "IMAGES", "NODES", "PINNED", "REASON"}
			if err := printList(cmd.OutOrStdout(), output, heading, shown, func(e deploy.Listed) []string { return environmentRow(e, output.wide()) }); err != nil {
				return err
			}
			return tellUnlessLed(cmd, store, recordedLast(listed))
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only this namespace")
	output.add(cmd)
	return cmd
}

// recordedLast says how old environments are that nobody looks after.
func recordedLast(listed []deploy.Listed) string {
	if len(listed) == 0 {
		return "no environments are recorded"
	}
	newest := slices.MaxFunc(listed, func(a, b deploy.Listed) int { return a.Changed.Compare(b.Changed) })
	return fmt.Sprintf("this is what was recorded last (the newest at %s)", newest.Changed.Format(time.DateTime))
}

// tellUnlessLed says for people, where nobody deploys, what that means.
func tellUnlessLed(cmd *cobra.Command, store *postgres.Store, meaning string) error {
	led, err := store.Led(cmd.Context())
	if err == nil && !led {
		fmt.Fprintf(cmd.ErrOrStderr(), "nobody deploys on this database at present: %s\n", meaning)
	}
	return err
}

func environmentRow(e deploy.Listed, wide bool) []string {
	commit, nodes, pinned := e.Commit.Short(), "", ""
	if e.Nodes != nil {
		nodes = e.Nodes.String()
	}
	if wide {
		commit = string(e.Commit)
		if e.Nodes != nil {
			nodes = e.Nodes.Detail()
		}
	}
	var images []string
	for _, i := range e.Images {
		image := shortImage(i.To)
		if wide && i.To != deploy.NoImage {
			image = i.To
		}
		images = append(images, string(i.Layer)+" "+image)
	}
	if e.Pinned != nil {
		pinned = "by " + e.Pinned.By
	}
	return []string{e.Environment.String(), string(e.State), e.Track, commit, strings.Join(images, ", "), nodes, pinned, whyThere(e, wide)}
}

// whyThere is why an environment stands as it does. What gates had to remark of its
// last rollout is told while that is under way, and where all is to be told.
func whyThere(e deploy.Listed, all bool) string {
	if e.Rollout == nil || !all && e.Rollout.State.Final() {
		return e.Reason
	}
	return andRemarked(e.Reason, *e.Rollout)
}

// andRemarked is a reason, and what gates had to remark of a rollout.
func andRemarked(reason string, r deploy.Rollout) string {
	said := remarked(r)
	if reason == "" || said == "" {
		return reason + said
	}
	return reason + "; " + said
}

// remarked is what gates had to say of a rollout that they let begin; empty if
// nothing.
func remarked(r deploy.Rollout) string {
	if r.Remark == "" || r.Started.IsZero() {
		return ""
	}
	return "rolled though " + r.Remark
}

// shortImage is a reference as a row has room for: its digest, or its tag.
func shortImage(image string) string {
	if _, text, ok := strings.Cut(image, "@"); ok {
		if d := digest.Digest(text); d.Validate() == nil {
			return fmt.Sprintf("%.12s", d.Encoded())
		}
	}
	return image[strings.LastIndex(image, "/")+1:]
}
