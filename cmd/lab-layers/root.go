package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// newRoot makes the command tree. Output meant for programs goes to out, all
// else to errs.
func newRoot(out, errs io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "lab-layers",
		Short: "Rebuild exactly the lab images that a commit changes",
		Long: `lab-layers keeps the images of an AI teaching lab in step with its Git
repository: it works out which base, framework and experiment layers a commit
really changes, builds only those, tags them by branch, and records every digest
with where it came from.

Try it on a repository that has Dockerfiles, with no set-up and no network:

  lab-layers init --repo DIR       write a lab-layers.yaml
  lab-layers plan --repo DIR       what the last commit changes, and why
  lab-layers replay --repo DIR     what it would have built over the history

Exit codes: 0 done, 1 the input is wrong, 2 something outside failed.`,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return inputError{err} })
	root.AddCommand(
		newInit(), newValidate(), newPlan(), newReplay(), newHook(),
		newBuild(), newAgent(), newRuns(), newCancel(), newRetry(), newLogs(), newHistory(), newTrace(), newGC(),
		newEnvironments(), newRollback(), newResume(), newTasks(), newOperator(), newNodeProbe(),
	)
	markArgs(root)
	return root
}

// markArgs has commands call wrong arguments wrong input.
func markArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		markArgs(sub)
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return misused(cmd, args, err)
			}
			return nil
		}
	}
}

// misused says what a command with wrong arguments takes.
func misused(cmd *cobra.Command, args []string, err error) error {
	switch {
	case cmd.HasSubCommands():
		return inputError{err} // it names the command that there is not
	case len(args) == 0:
		return inputf("an argument is missing: %s", cmd.UseLine())
	}
	return inputf("%q is more than it takes, or less: %s", strings.Join(args, " "), cmd.UseLine())
}
