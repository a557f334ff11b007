package main

import (
	"context"
	"log/slog"
	"time"
	_ "time/tzdata" // for CRON_TZ, whatever zones the machine has

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/schedule"
)

// scheduleFlags say what the agent does at set times. Empty is never.
type scheduleFlags struct {
	refresh string
	verify  string
	gc      string
	keeps   cleanupFlags
}

func (f *scheduleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.refresh, "refresh", "", "when to resolve the base images from outside again and build on main what those that moved change, as a cron expression such as \"0 3 * * *\" or \"CRON_TZ=Europe/Vienna 0 3 * * *\" (default: never)")
	cmd.Flags().StringVar(&f.verify, "verify", "", "when to ask the registry whether it still has the images of every ref and build again what it has lost, as a cron expression (default: at each start alone)")
	cmd.Flags().StringVar(&f.gc, "gc", "", "when to remove from the registry what nothing refers to any more, as \"lab-layers gc\" does; a cron expression (default: never)")
	f.keeps.add(cmd, "gc-")
}

// entries are what the agent is to do when; it and the stack need not have their
// parts yet.
func (f *scheduleFlags) entries(a *agent.Agent, clean func(context.Context) error) ([]schedule.Entry, error) {
	if err := f.keeps.check("gc-"); err != nil {
		return nil, err
	}
	var entries []schedule.Entry
	for _, e := range []struct {
		name, when string
		do         func(context.Context) error
	}{
		{"refresh", f.refresh, a.Refresh},
		{"verify", f.verify, a.InspectAll},
		{"gc", f.gc, clean},
	} {
		if e.when == "" {
			continue
		}
		when, err := schedule.Parse(e.when)
		if err != nil {
			return nil, inputf("--%s: %w", e.name, err)
		}
		entries = append(entries, schedule.Entry{Name: e.name, When: when, Do: e.do})
	}
	return entries, nil
}

// patience of a clean-up on schedule with the runs at work.
const patience = time.Hour

// clean does what "lab-layers gc" does, with an agent's parts.
func (f *scheduleFlags) clean(ctx context.Context, s *stack, log *slog.Logger) error {
	cleaner := f.keeps.cleaner(s.store, s.client, s.found.Registry, s.sweep(), log)
	cleaner.Patience = patience
	_, err := cleaner.Clean(ctx)
	return err
}
