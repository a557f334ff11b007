package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
)

func newCancel() *cobra.Command {
	var reason string
	cmd := wish("cancel RUN", "End a run that waits or is building", `cancel ends a run, by its number in runs. Images that it has built by then are kept
and reused. One that is deploying is brought to its end.`, func(ctx context.Context, store *postgres.Store, run agent.RunID) (string, error) {
		if reason == "" {
			reason = "cancelled by " + person()
		}
		return fmt.Sprintf("run %d ends", run), store.Cancel(ctx, run, reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the records")
	return cmd
}

func newRetry() *cobra.Command {
	return wish("retry RUN", "Queue a finished run's commit again", `retry queues another run for what a run was about, by its number in runs. Its images
are reused, and what failed is built again. It is refused where the branch or tag has
moved on.`, func(ctx context.Context, store *postgres.Store, run agent.RunID) (string, error) {
		next, err := store.Retry(ctx, run)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("queued as run %d", next.ID), nil
	})
}

// wish is a command that asks for something about one run and says what comes
// of it.
func wish(use, short, long string, do func(context.Context, *postgres.Store, agent.RunID) (string, error)) *cobra.Command {
	var flags recordFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			run, err := runNumber(args[0])
			if err != nil {
				return err
			}
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			said, err := do(cmd.Context(), store, run)
			if errors.As(err, new(postgres.Refusal)) {
				return inputError{err}
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), said)
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

// person is who uses the command, as far as the system knows.
func person() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}
