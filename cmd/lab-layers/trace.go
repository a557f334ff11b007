package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/postgres"
)

func newTrace() *cobra.Command {
	var flags recordFlags
	var output listFormat
	cmd := &cobra.Command{
		Use:   "trace DIGEST|TAG|COMMIT|IMAGE|ENVIRONMENT",
		Short: "Show where an image comes from, and what stands on it",
		Long: `trace takes the digest or key of an image, or the first six digits of it; a tag
(LAYER:TAG); a commit; an image from outside; or an environment of the cluster
(NAMESPACE/KIND/NAME), of which it also shows the rollouts. It shows the commits
that have the image, its parents down to the image from outside, its blobs,
framework and driver requirement, the tasks that had it, and everything that
stands on it.`,
		Example: `  lab-layers trace resnet50:main
  lab-layers trace 3f2a9c01
  lab-layers trace nvidia/cuda:12.4.1-base-ubuntu22.04
  lab-layers trace vision/resnet50`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			if known, err := traceEnvironment(cmd.Context(), cmd.OutOrStdout(), store, args[0], output); known || err != nil {
				return err
			}
			trace, err := store.Trace(cmd.Context(), args[0])
			var ambiguous *postgres.AmbiguousError
			if errors.Is(err, postgres.ErrNotFound) || errors.As(err, &ambiguous) {
				return inputError{err}
			}
			if err != nil {
				return err
			}
			if output.json() {
				return printJSON(cmd.OutOrStdout(), trace)
			}
			return printTrace(cmd.OutOrStdout(), trace)
		},
	}
	flags.add(cmd)
	output.add(cmd)
	return cmd
}

func printTrace(w io.Writer, trace *postgres.Trace) error {
	for i, image := range trace.Images {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printImage(w, image); err != nil {
			return err
		}
	}
	for _, base := range trace.Outside {
		fmt.Fprintf(w, "image from outside  %s@%s\n", base.Name, base.Digest)
	}
	if len(trace.Tasks) > 0 {
		fmt.Fprintf(w, "\ntasks that had it, the newest first\n")
		rows := [][]string{{"  TASK", "USER", "STATE", "LAYER", "SUBMITTED"}}
		for _, t := range trace.Tasks {
			rows = append(rows, []string{"  " + t.String(), t.User, string(t.State), string(t.Layer), t.Submitted.UTC().Format(time.DateTime)})
		}
		if err := table(w, rows...); err != nil {
			return err
		}
	}
	if len(trace.StandingOn) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nwhat stands on it\n")
	rows := [][]string{{"  LAYER", "DIGEST", "TAGS"}}
	for _, s := range trace.StandingOn {
		rows = append(rows, []string{"  " + string(s.Layer), fmt.Sprintf("%.19s", s.Digest), strings.Join(s.Tags, " ")})
	}
	return table(w, rows...)
}

func printImage(w io.Writer, image postgres.ImageTrace) error {
	rows := [][]string{
		{"layer", string(image.Layer)},
		{"digest", image.Digest.String()},
		{"key", string(image.Key)},
	}
	for i, link := range image.Chain {
		name := "stands on"
		if i > 0 {
			name = ""
		}
		label := string(link.Layer)
		if link.Outside {
			label = link.Name + " (from outside)"
		}
		rows = append(rows, []string{name, fmt.Sprintf("%s %.19s", label, link.Digest)})
	}
	rows = append(rows, []string{"framework", image.FrameworkType}, []string{"GPU driver", image.GPUDriver})
	for _, f := range image.Metadata.Frameworks {
		rows = append(rows, []string{"", fmt.Sprintf("%s %s: %s", f.Name, f.Version, f.Evidence)})
	}
	for i, s := range image.Snapshots {
		name := "commits"
		if i > 0 {
			name = ""
		}
		var refs []string
		for _, ref := range s.Refs {
			refs = append(refs, shortRef(ref))
		}
		rows = append(rows, []string{name, fmt.Sprintf("%s %s, new blobs: %d (%s)", s.Commit.Short(), strings.Join(refs, " "), len(s.LayerHash), bytesOf(s.LayerSize))})
	}
	for i, tag := range image.Tags {
		name := "tags"
		if i > 0 {
			name = ""
		}
		rows = append(rows, []string{name, tag.Repository + ":" + tag.Name})
	}
	for i, blob := range image.Blobs {
		name := "blobs"
		if i > 0 {
			name = ""
		}
		whose := "of its parent"
		if blob.Own {
			whose = "its own"
		}
		rows = append(rows, []string{name, fmt.Sprintf("%.19s %s, %s", blob.Digest, bytesOf(blob.Size), whose)})
	}
	if built := image.BuiltBy; built != nil {
		rows = append(rows, []string{"built by", fmt.Sprintf("run %d in %.2f s: %s", built.Run, built.Seconds, cut(whyEntry(*built), 120))})
	}
	return table(w, rows...)
}
