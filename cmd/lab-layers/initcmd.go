package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/layers/scaffold"
)

func newInit() *cobra.Command {
	var repo, rev, file string
	var force bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Look at a repository's Dockerfiles and write a lab-layers.yaml",
		Long: `init reads the Dockerfiles of a commit, infers which image stands on which, and
writes a commented lab-layers.yaml: evidence and doubts stand beside each layer.
Look it over, then see with "lab-layers replay" what it would have built over
the repository's history.`,
		Example: `  lab-layers init
  lab-layers init --repo https://git.example.org/lab.git --file -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			view, err := openView(cmd.Context(), repo, "", usualExport())
			if err != nil {
				return err
			}
			commit, err := view.repo.Resolve(rev)
			if err != nil {
				return inputError{err}
			}
			tree, err := view.repo.Tree(commit)
			if err != nil {
				return err
			}
			proposal, err := scaffold.Propose(tree)
			if err != nil {
				return inputError{err}
			}
			if len(proposal.Layers) == 0 {
				for _, left := range proposal.LeftOut {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", oneLine(left.Dockerfile), oneLine(left.Reason))
				}
				return inputf("%s has no Dockerfile at %s that makes an image of a lab", shown(repo), commit.Short())
			}
			if file == "" {
				file = filepath.Join(repo, layers.ConfigFile)
			}
			if file == "-" {
				_, err := cmd.OutOrStdout().Write(proposal.YAML())
				return err
			}
			if err := writeNew(file, proposal.YAML(), force); err != nil {
				return err
			}
			return printProposal(cmd, proposal, file)
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "repository: a directory or a URL")
	cmd.Flags().StringVar(&rev, "rev", "HEAD", "commit to look at")
	cmd.Flags().StringVar(&file, "file", "", "where to write; - is standard output (default: lab-layers.yaml in --repo)")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// writeNew writes a file that is not there yet, or with force over one that is:
// never through a link, which a repository may have lead anywhere.
func writeNew(file string, data []byte, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NOFOLLOW
	}
	out, err := os.OpenFile(file, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return inputf("%s is there already: name another --file, or replace it with --force", file)
	}
	if errors.Is(err, unix.ELOOP) {
		return inputf("%s is a link: remove it, or name the file that it leads to with --file", file)
	}
	if err != nil {
		return inputError{err}
	}
	_, err = out.Write(data)
	return errors.Join(err, out.Close())
}

func printProposal(cmd *cobra.Command, p *scaffold.Proposal, file string) error {
	out := cmd.OutOrStdout()
	rows := [][]string{{"LAYER", "KIND", "STANDS ON", "DOCKERFILE", "DOUBTS"}}
	for _, l := range p.Layers {
		on := string(l.Parent)
		if on == "" {
			on = "(" + l.Image + ")"
		}
		name := l.Dockerfile
		if l.Target != "" {
			name += " --target " + l.Target
		}
		doubts := ""
		if n := len(l.Doubts); n > 0 {
			doubts = fmt.Sprint(n)
		}
		rows = append(rows, []string{string(l.Name), string(l.Kind), on, name, doubts})
	}
	if err := table(out, rows...); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d layers, %d Dockerfiles left out, written to %s\n", len(p.Layers), len(p.LeftOut), file)
	_, err := fmt.Fprintf(out, "next: lab-layers replay --config %s\n", file)
	return err
}
