package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/buildkit"
	"github.com/lab-layers/lab-layers/pipeline/inventory"
	"github.com/lab-layers/lab-layers/pipeline/registry"
	"github.com/lab-layers/lab-layers/pipeline/registry/embedded"
)

// stackFlags say which parts are given; the others are started.
type stackFlags struct {
	dataDir     string
	databaseURL string
	registry    string
	adopt       bool
	plainHTTP   []string
	buildkit    []string
	tls         tlsFlags
	export      exportFlags
	parallel    int
	limit       time.Duration
	planLimit   time.Duration
	provenance  string
	sbom        bool
	cacheExport string
	cacheImport []string
	secrets     map[string]string
	ssh         map[string]string
	network     string
	// perRepository is the most runs of one repository at work; 0 is no limit.
	perRepository int
	cacheSize     string
	cgroup        string
}

func (f *stackFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dataDir, "data-dir", defaultDataDir(), "where the embedded parts keep their data (or LAB_LAYERS_DATA_DIR)")
	flags.StringVar(&f.databaseURL, "database-url", "", "PostgreSQL to use instead of a private one (or LAB_LAYERS_DATABASE_URL)")
	flags.StringVar(&f.registry, "registry", "", "registry to use instead of an embedded one, as HOST or HOST/PREFIX")
	flags.BoolVar(&f.adopt, "adopt", false, "with --registry: take over images that the registry has under a key and the database does not know, for a database that was lost; only where nobody else may push")
	flags.StringSliceVar(&f.plainHTTP, "plain-http", nil, "registry hosts that are spoken to without TLS; loopback always is")
	flags.StringSliceVar(&f.buildkit, "buildkit", nil, "addresses of BuildKit daemons to use instead of a private one")
	f.tls.add(cmd)
	flags.StringVar(&f.network, "build-network", "host", "network of RUN steps in the private BuildKit: host, bridge, cni or none; with host they reach what listens on this machine's loopback")
	flags.StringVar(&f.cacheSize, "build-cache", "", "most disk space that the private BuildKit's cache may take, such as 200GB, or 30% of the disk (default: 100GB at the most, a fifth of the disk kept free)")
	flags.StringVar(&f.cgroup, "build-cgroup", "", "control group for RUN steps in the private BuildKit, with its limits on memory and processes, such as labs.slice")
	f.export.add(cmd)
	flags.IntVar(&f.parallel, "parallel", 4, "builds that run side by side")
	flags.DurationVar(&f.limit, "build-limit", 6*time.Hour, "longest that the build of a layer may take; 0 is no limit")
	flags.DurationVar(&f.planLimit, "plan-limit", 5*time.Minute, "longest that planning a commit may take; 0 is no limit")
	flags.StringVar(&f.provenance, "provenance", "", "attach provenance to images: min or max (default: none)")
	flags.BoolVar(&f.sbom, "sbom", false, "attach a bill of materials to images")
	flags.StringVar(&f.cacheExport, "cache-export", "", "repository (HOST/PATH) to write build caches to")
	flags.StringSliceVar(&f.cacheImport, "cache-import", nil, "repositories to read build caches from")
	flags.StringToStringVar(&f.secrets, "secret", nil, "secrets for RUN mounts, as `ID=FILE`, or NAME/ID=FILE for the builds of the repository NAME alone")
	flags.StringToStringVar(&f.ssh, "ssh", nil, "agents or keys for RUN mounts, as `ID=SOCKET` or ID=KEYFILE, or NAME/ID=… likewise")
}

func defaultDataDir() string {
	if dir := os.Getenv("LAB_LAYERS_DATA_DIR"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/lib/lab-layers"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "lab-layers-data"
	}
	return filepath.Join(home, ".local", "share", "lab-layers")
}

// stack is all the parts that making images needs, given or started.
type stack struct {
	store *postgres.Store
	owner string // names this process in its claims
	// keychain has the registries' credentials.
	keychain authn.Keychain
	carrier  *agent.Carrier
	client   *registry.Client
	// embedded is the registry of this process; nil if one is given.
	embedded *embedded.Registry
	// checks ask the parts for a sign of life.
	checks map[string]web.Check
	found  started
	stops  []func(context.Context)
}

// openStack brings up what is not given. Close it in any case but an error.
func (f *stackFlags) openStack(ctx context.Context, log *slog.Logger) (_ *stack, err error) {
	s := &stack{owner: owner()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := os.MkdirAll(f.dataDir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := awaitDataDir(ctx, f.dataDir, log)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func(context.Context) { unlock() })

	began := time.Now()
	var mu sync.Mutex
	onStop := func(stop func(context.Context)) {
		mu.Lock()
		defer mu.Unlock()
		s.stops = append(s.stops, stop)
	}
	databaseURL := givenDatabase(f.databaseURL)
	found := started{Private: databaseURL == "", Registry: f.registry, Embedded: f.registry == "", PID: os.Getpid(), Owner: s.owner}
	addresses := f.buildkit
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if found.Private {
			if databaseURL, err = startDatabase(gctx, f.dataDir, log, onStop); err != nil {
				return err
			}
			found.DatabaseURL = databaseURL
		}
		s.store, err = postgres.Open(gctx, databaseURL, postgres.Options{PerRepository: f.perRepository})
		return err
	})
	s.keychain = authn.DefaultKeychain
	group.Go(func() error {
		if f.registry != "" {
			return nil
		}
		own, err := startRegistry(gctx, f.dataDir, log, onStop)
		if err != nil {
			return err
		}
		s.embedded = own
		found.Registry, s.keychain = own.Host(), authn.NewMultiKeychain(own, authn.DefaultKeychain)
		return nil
	})
	group.Go(func() error {
		if len(f.buildkit) > 0 {
			return nil
		}
		address, err := f.startBuildKit(gctx, log, onStop)
		addresses = []string{address}
		return err
	})
	err = group.Wait()
	if s.store != nil {
		s.stops = append(s.stops, func(context.Context) { s.store.Close() })
	}
	if err != nil {
		return nil, err
	}
	if s.carrier, err = f.carrier(s, found.Registry, addresses); err != nil {
		return nil, err
	}
	if err := s.inherit(ctx, f.dataDir); err != nil {
		return nil, err
	}
	s.found = found
	if err := s.tell(f.dataDir); err != nil {
		return nil, err
	}
	log.Info("ready", "registry", found.Registry, "data_dir", f.dataDir, "took", time.Since(began).Round(time.Millisecond))
	return s, nil
}

// carrier joins the implementations.
func (f *stackFlags) carrier(s *stack, prefix string, addresses []string) (*agent.Carrier, error) {
	if err := buildkit.CheckReach(addresses, prefix); err != nil {
		return nil, inputError{err}
	}
	client, err := registry.New(registry.Options{PlainHTTP: f.plainHTTP, Keychain: s.keychain})
	if err != nil {
		return nil, err
	}
	s.client = client
	var images pipeline.Registry = client
	if s.embedded != nil {
		images = s.embedded.Shortcut(client)
	}
	secrets := map[string]buildkit.Secret{}
	for id, file := range f.secrets {
		secrets[id] = buildkit.Secret{File: file}
	}
	ssh := map[string][]string{}
	for id, path := range f.ssh {
		ssh[id] = []string{path}
	}
	tls, err := f.tls.check(f.buildkit)
	if err != nil {
		return nil, err
	}
	builder, err := buildkit.New(buildkit.Options{
		Addresses: addresses, TLS: tls, Limit: f.parallel,
		Compression: buildkit.Compression(f.export.compression), Reproducible: f.export.reproducible,
		Attestations: buildkit.Attestations{Provenance: f.provenance, SBOM: f.sbom},
		CacheExport:  f.cacheExport, CacheImport: f.cacheImport,
		Secrets: secrets, SSH: ssh, PlainHTTP: f.plainHTTP, Keychain: s.keychain,
	})
	if err != nil {
		return nil, inputError{err}
	}
	s.stops = append(s.stops, func(context.Context) { _ = builder.Close() })
	s.checks = map[string]web.Check{
		"database": s.store.Ping,
		"buildkit": builder.Ping,
		"registry": func(ctx context.Context) error { return client.Ping(ctx, prefix) },
	}
	return &agent.Carrier{
		Planner: layers.NewPlanner(outside(client), f.export.settings()),
		Pipeline: &pipeline.Pipeline{
			Builder: builder, Registry: images, Ledger: s.store,
			Surveyor: inventory.Surveyor{Source: client},
			Prefix:   prefix, Parallel: f.parallel, Limit: f.limit, Flights: new(pipeline.Flights),
			Adopt: f.adopt || f.registry == "", // the embedded one is written to by its agent alone
		},
		Trust:     agent.Trust{Secrets: slices.Collect(maps.Keys(f.secrets)), SSH: slices.Collect(maps.Keys(f.ssh))},
		Records:   s.store,
		PlanLimit: f.planLimit,
		Salt:      f.export.rebuild.salt,
		Now:       time.Now,
	}, nil
}

// sweep frees blobs of the embedded registry; nil without one.
func (s *stack) sweep() func(context.Context) (int64, error) {
	if s.embedded == nil {
		return nil
	}
	return s.embedded.Sweep
}

// checkSecrets makes sure that secrets for one repository name one that there
// is: by a slip another's would go without, or be given a wider one.
func (f *stackFlags) checkSecrets(repos []namedRepo) error {
	for flag, given := range map[string]map[string]string{"--secret": f.secrets, "--ssh": f.ssh} {
		for name := range given {
			of, id, qualified := strings.Cut(name, "/")
			known := slices.ContainsFunc(repos, func(r namedRepo) bool { return r.name == of && of != "" })
			if qualified && (!known || id == "") {
				return inputf("%s %s: there is no repository %s; name it with --repo %s=URL", flag, name, of, of)
			}
		}
	}
	return nil
}

// outside looks images up in their own registries.
func outside(client *registry.Client) layers.Outside {
	return func(ctx context.Context, ref, platform string) (layers.OutsideImage, bool, error) {
		d, config, err := client.Resolve(ctx, ref, platform)
		if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrUnauthorized) {
			return layers.OutsideImage{}, false, fmt.Errorf("%w: %w", layers.ErrNoImage, err)
		}
		return layers.OutsideImage{Digest: d, Config: config}, err == nil, err
	}
}

// close ends what was started, the last first.
func (s *stack) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i](ctx)
	}
	s.stops = nil
}

// lockWait is how long a start waits for a command that looks at the records, which
// takes a moment.
const lockWait = 5 * time.Second

// awaitDataDir locks a data directory, and waits a while for who works on it. That
// somebody still does then is no fault of the input: whoever starts agents tries again.
func awaitDataDir(ctx context.Context, dir string, log *slog.Logger) (unlock func(), err error) {
	ticker := time.NewTicker(lockWait / 50)
	defer ticker.Stop()
	late := time.After(lockWait)
	for told := false; ; told = true {
		unlock, err := lockDataDir(dir)
		if !errors.As(err, new(inUse)) {
			return unlock, err
		}
		if !told {
			log.Info("waits for another lab-layers to end that works on the data directory", "dir", dir)
		}
		select {
		case <-ticker.C:
		case <-late:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// inUse is that another process works on a data directory, which is what it names.
type inUse string

func (dir inUse) Error() string {
	return fmt.Sprintf("another lab-layers works on %s: stop it, or name another --data-dir", string(dir))
}

// lockDataDir keeps two agents off one data directory, for as long as this
// process lives, however it ends. It fails with inUse where another has it.
func lockDataDir(dir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, inUse(dir)
	}
	return func() { file.Close() }, nil
}
