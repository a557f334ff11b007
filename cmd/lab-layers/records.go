package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/postgres"
)

// recordFlags say where the records are.
type recordFlags struct {
	dataDir     string
	databaseURL string
}

func (f *recordFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", defaultDataDir(), "data directory of the agent (or LAB_LAYERS_DATA_DIR)")
	cmd.Flags().StringVar(&f.databaseURL, "database-url", "", "PostgreSQL that the agent uses, if not its private one (or LAB_LAYERS_DATABASE_URL)")
}

// givenDatabase is the URL from the flag or the environment. It is no default
// of the flag: --help would show the password.
func givenDatabase(flag string) string {
	return cmp.Or(flag, os.Getenv("LAB_LAYERS_DATABASE_URL"))
}

// open opens the records: of a running agent, or of a private cluster that is
// started for the while.
func (f *recordFlags) open(ctx context.Context) (*postgres.Store, func(), error) {
	store, _, closeStore, err := f.openLocked(ctx)
	return store, closeStore, err
}

// openLocked also says whether this process has the data directory's lock until
// the records are closed.
func (f *recordFlags) openLocked(ctx context.Context) (store *postgres.Store, locked bool, closeStore func(), err error) {
	if url := givenDatabase(f.databaseURL); url != "" {
		store, closeStore, err = openStore(ctx, url)
		return store, false, closeStore, err
	}
	found, err := readStarted(f.dataDir)
	if err != nil {
		return nil, false, nil, inputf("%s has no records: name the agent's --data-dir or --database-url", f.dataDir)
	}
	if !found.Private {
		return nil, false, nil, inputf("the agent of %s was given its PostgreSQL: name it with --database-url or LAB_LAYERS_DATABASE_URL, too", f.dataDir)
	}
	unlock, err := lockDataDir(f.dataDir)
	if errors.As(err, new(inUse)) { // its agent is running
		store, closeStore, err = openStore(ctx, found.DatabaseURL)
		return store, false, closeStore, err
	}
	if err != nil {
		return nil, false, nil, err
	}
	store, closeStore, err = f.openPrivate(ctx, unlock)
	return store, true, closeStore, err
}

// openPrivate starts the private cluster, and ends it and the lock at the end.
func (f *recordFlags) openPrivate(ctx context.Context, unlock func()) (*postgres.Store, func(), error) {
	var stops []func(context.Context)
	url, err := startDatabase(ctx, f.dataDir, slog.New(slog.DiscardHandler), func(stop func(context.Context)) { stops = append(stops, stop) })
	stop := func() {
		for _, stop := range stops {
			stop(context.WithoutCancel(ctx))
		}
		unlock()
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	store, closeStore, err := openStore(ctx, url)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return store, func() { closeStore(); stop() }, nil
}

func openStore(ctx context.Context, url string) (*postgres.Store, func(), error) {
	store, err := postgres.Open(ctx, url, postgres.Options{})
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}
