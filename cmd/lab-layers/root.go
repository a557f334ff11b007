package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	group := func(title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: title, Title: title})
		for _, cmd := range commands {
			cmd.GroupID = title
		}
		root.AddCommand(commands...)
	}
	group("On a repository alone:", newInit(), newValidate(), newPlan(), newReplay())
	group("Building:", newAgent(), newBuild(), newHook())
	group("Runs and images:", newRuns(), newLogs(), newHistory(), newTrace(), newCancel(), newRetry(), newGC())
	group("In a cluster:", newEnvironments(), newRollback(), newResume(), newTasks(), newOperator(), newMoveCluster(), newNodeProbe())
	markArgs(root)
	plainDefaults(root)
	return root
}

// plainDefaults shows defaults as people write them: 6h, and nothing for nothing.
func plainDefaults(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		plainDefaults(sub)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "duration":
			f.DefValue = plainDuration(f.DefValue)
		case "stringToString":
			f.DefValue = strings.TrimPrefix(f.DefValue, "[]")
		}
	})
}

// plainDuration is a length of time without parts that are 0.
func plainDuration(text string) string {
	for _, part := range []struct{ whole, zero string }{{"m", "0s"}, {"h", "0m"}} {
		if strings.HasSuffix(text, part.whole+part.zero) {
			text = strings.TrimSuffix(text, part.zero)
		}
	}
	return text
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
	return inputf("%q is more than it takes: %s", strings.Join(args, " "), cmd.UseLine())
}
