package main

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/deploy"
)

func newEnvironments() *cobra.Command {
	var flags recordFlags
	var namespace string
	output := format("table")
	cmd := &cobra.Command{
		Use:   "environments",
		Short: "Show where each environment of the cluster stands, and why",
		Long: `environments lists the workloads that an agent with --kubeconfig looks after: the
images and the commit that each has, on how many of the nodes that its pods may run
on these are, or those that it is about to get, the state of its last rollout with
the reason, what a gate had to remark as it let that begin, what somebody set by
hand, and who pinned it.`,
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
			return printList(cmd.OutOrStdout(), output.json(), heading, shown, environmentRow)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only this namespace")
	cmd.Flags().VarP(&output, "output", "o", "output format")
	return cmd
}

func environmentRow(e deploy.Listed) []string {
	var images []string
	for _, i := range e.Images {
		images = append(images, string(i.Layer)+" "+shortImage(i.To))
	}
	pinned := ""
	if e.Pinned != nil {
		pinned = "by " + e.Pinned.By
	}
	nodes := ""
	if e.Nodes != nil {
		nodes = e.Nodes.String()
	}
	return []string{e.Environment.String(), string(e.State), e.Track, e.Commit.Short(), strings.Join(images, ", "), nodes, pinned, cut(whyThere(e), 160)}
}

// whyThere is why an environment stands as it does. Of one that rolled although a
// gate had something to remark that is told for as long as it has these images.
func whyThere(e deploy.Listed) string {
	if e.Reason == "" && e.Rollout != nil && e.Rollout.State == deploy.Healthy {
		return remarked(*e.Rollout)
	}
	return e.Reason
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
