package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/lab-layers/lab-layers/agent/postgres/cluster"
	"github.com/lab-layers/lab-layers/pipeline/buildkit/daemon"
	"github.com/lab-layers/lab-layers/pipeline/registry/embedded"
)

func startDatabase(ctx context.Context, dataDir string, log *slog.Logger, onStop func(func(context.Context))) (string, error) {
	log = log.With("part", "postgresql")
	c, err := cluster.Start(ctx, cluster.Options{DataDir: filepath.Join(dataDir, "postgresql"), Logger: log})
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	onStop(keep(func(ctx context.Context) { cluster.Keep(ctx, c, lost(log)) }))
	return c.URL(), nil
}

func startRegistry(ctx context.Context, dataDir string, log *slog.Logger, onStop func(func(context.Context))) (*embedded.Registry, error) {
	r, err := embedded.Start(ctx, embedded.Options{Dir: filepath.Join(dataDir, "registry"), Logger: log.With("part", "registry")})
	if err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	onStop(func(ctx context.Context) { _ = r.Stop(ctx) })
	return r, nil
}

func (f *stackFlags) startBuildKit(ctx context.Context, log *slog.Logger, onStop func(func(context.Context))) (string, error) {
	options := daemon.Options{
		Root: filepath.Join(f.dataDir, "buildkit"), Network: f.network, PlainHTTP: f.plainHTTP,
		CacheSize: f.cacheSize, CgroupParent: f.cgroup, Environ: os.Environ(),
		// One Dockerfile may have a thousand stages that could run at once.
		Parallelism: max(f.parallel, runtime.NumCPU()),
		Logger:      log.With("part", "buildkit"),
	}
	if err := options.Check(); err != nil {
		return "", inputError{err}
	}
	d, err := daemon.Start(ctx, options)
	if err != nil {
		return "", fmt.Errorf("start BuildKit: %w", err)
	}
	onStop(keep(func(ctx context.Context) { daemon.Keep(ctx, d, lost(options.Logger)) }))
	return d.Address(), nil
}

// keep runs a supervisor until the returned function is called.
func keep(supervise func(context.Context)) (stop func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		supervise(ctx)
	}()
	return func(context.Context) {
		cancel()
		<-done
	}
}

func lost(log *slog.Logger) func(error) {
	return func(err error) { log.Warn("it ended and is started again", "error", err) }
}
