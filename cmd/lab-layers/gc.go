package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// cleanupFlags say what clean-up keeps.
type cleanupFlags struct {
	last          int
	minAge, grace time.Duration
}

// add names the flags with a prefix.
func (f *cleanupFlags) add(cmd *cobra.Command, prefix string) {
	cmd.Flags().IntVar(&f.last, prefix+"keep", 20, "how many commits of each lasting ref, such as main, keep their images")
	cmd.Flags().DurationVar(&f.minAge, prefix+"min-age", 24*time.Hour, "keep what was made or used within so long")
	cmd.Flags().DurationVar(&f.grace, prefix+"grace", time.Hour, "how long the temporary tags of a deleted branch stay")
}

func (f *cleanupFlags) check(prefix string) error {
	if f.last < 1 || f.minAge < 0 || f.grace < 0 {
		return inputf("--%skeep must be at least 1, and --%smin-age and --%sgrace not less than 0", prefix, prefix, prefix)
	}
	return nil
}

// cleaner joins the parts. The sweep is the embedded registry's.
func (f *cleanupFlags) cleaner(store *postgres.Store, client *registry.Client, prefix string, sweep func(context.Context) (int64, error), log *slog.Logger) *cleanup.Cleaner {
	return &cleanup.Cleaner{
		Records: store, Registry: client, Sweep: sweep, OnlyByDigest: registry.ErrOnlyByDigest, Log: log,
		Policy: cleanup.Policy{Prefix: prefix, Last: f.last, MinAge: f.minAge, Grace: f.grace},
	}
}

func newGC() *cobra.Command {
	var g gc
	var output listFormat
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove from the registry what nothing refers to any more",
		Long: `gc removes the temporary tags of deleted branches and those that expired; tags
that name a commit whose images are not kept; and images that no ref, no commit
to keep, no tag and no kept image refers to. Every deletion is told with its
reason. With --dry-run it only tells.

It waits for runs to end and lets none begin meanwhile. The registry that an agent
started is written to by that agent alone: while it runs, gc has it do the work.`,
		Example: `  lab-layers gc --dry-run
  lab-layers gc --registry registry.example.org/lab --database-url postgres://lab@db/lab`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.keeps.check(""); err != nil {
				return err
			}
			list, err := g.do(cmd.Context())
			heading := []string{"KIND", "WHAT", "SIZE", "WHY"}
			return errors.Join(err, printList(cmd.OutOrStdout(), output, heading, list, func(d cleanup.Deletion) []string { return deletionRow(d, output.wide()) }))
		},
	}
	g.records.add(cmd)
	g.keeps.add(cmd, "")
	cmd.Flags().StringVar(&g.registry, "registry", "", "registry that the agent uses, as HOST or HOST/PREFIX (default: what it last used)")
	cmd.Flags().StringSliceVar(&g.plainHTTP, "plain-http", nil, "registry hosts that are spoken to without TLS; loopback always is")
	cmd.Flags().BoolVar(&g.dryRun, "dry-run", false, "only tell what would go, and why")
	cmd.Flags().DurationVar(&g.wait, "wait", time.Minute, "longest to wait for the runs at work to end")
	output.add(cmd)
	return cmd
}

func deletionRow(d cleanup.Deletion, wide bool) []string {
	what := d.What
	if repository, digest, ok := strings.Cut(what, "@"); ok && !wide {
		what = fmt.Sprintf("%s@%.19s", repository, digest)
	}
	size := ""
	if d.Size > 0 {
		size = bytesOf(d.Size)
	}
	why := d.Why
	if d.Left != "" {
		why = "left: " + d.Left
	}
	return []string{d.Kind, what, size, why}
}

// gc is one clean-up from the command line.
type gc struct {
	records   recordFlags
	keeps     cleanupFlags
	registry  string
	plainHTTP []string
	dryRun    bool
	wait      time.Duration
}

// do cleans up, or has the agent do it that alone writes to the registry.
func (g *gc) do(ctx context.Context) ([]cleanup.Deletion, error) {
	if !g.dryRun && g.registry == "" && g.agentRuns() {
		return askToCleanUp(ctx, g.records.dataDir, cleanUp{Last: g.keeps.last, MinAge: g.keeps.minAge, Grace: g.keeps.grace, Wait: g.wait})
	}
	cleaner, end, err := g.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer end()
	if g.dryRun {
		return cleaner.Plan(ctx)
	}
	return cleaner.Clean(ctx)
}

// agentRuns reports whether somebody works on the data directory, with a registry
// in it.
func (g *gc) agentRuns() bool {
	found, err := readStarted(g.records.dataDir)
	if err != nil || !found.Embedded {
		return false
	}
	unlock, err := lockDataDir(g.records.dataDir)
	if err == nil {
		unlock()
	}
	return errors.As(err, new(inUse))
}

// open brings up what the clean-up needs.
func (g *gc) open(ctx context.Context, log *slog.Logger) (_ *cleanup.Cleaner, _ func(), err error) {
	var stops []func(context.Context)
	end := func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i](context.WithoutCancel(ctx))
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	store, locked, closeStore, err := g.records.openLocked(ctx)
	if err != nil {
		return nil, nil, err
	}
	stops = append(stops, func(context.Context) { closeStore() })
	prefix := g.registry
	var keychain authn.Keychain = authn.DefaultKeychain
	var sweep func(context.Context) (int64, error)
	if prefix == "" {
		found, err := readStarted(g.records.dataDir)
		if err != nil {
			return nil, nil, inputf("name the agent's --registry, or its --data-dir: %w", err)
		}
		prefix = found.Registry
		if found.Embedded && !locked {
			unlock, err := lockDataDir(g.records.dataDir)
			switch {
			case err == nil:
				locked = true
				stops = append(stops, func(context.Context) { unlock() })
			case !errors.As(err, new(inUse)):
				return nil, nil, err
			case !g.dryRun:
				return nil, nil, inputError{err} // it has just been started
			}
		}
		if found.Embedded && locked {
			own, err := startRegistry(ctx, g.records.dataDir, log, func(stop func(context.Context)) { stops = append(stops, stop) })
			if err != nil {
				return nil, nil, err
			}
			prefix, keychain, sweep = own.Host(), authn.NewMultiKeychain(own, authn.DefaultKeychain), own.Sweep
		}
	}
	client, err := registry.New(registry.Options{PlainHTTP: g.plainHTTP, Keychain: keychain})
	if err != nil {
		return nil, nil, err
	}
	cleaner := g.keeps.cleaner(store, client, prefix, sweep, log)
	cleaner.Patience = g.wait
	return cleaner, end, nil
}
