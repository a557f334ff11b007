package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/sirupsen/logrus"
)

// Options of a registry.
type Options struct {
	// Dir holds the registry's data. It is made if it is not there, and
	// belongs to one registry at a time.
	Dir string
	// Listen is the address to listen on. Empty is the loopback address at the
	// port that it had the last time, so that references to images stay valid,
	// or at any other that is free.
	Listen string
	// Open lets anyone write who can reach the address, not only who has the
	// registry as keychain.
	Open bool
	// Logger hears of faults, and of requests at the debug level; nil hears
	// nothing.
	Logger *slog.Logger
}

// Registry is a running registry.
type Registry struct {
	host   string
	data   string // its directory
	log    *slog.Logger
	entry  *logrus.Entry // the same for distribution
	guard  guard
	server *http.Server
	app    *handlers.App
	// namespace is the same storage without HTTP.
	namespace distribution.Namespace
	done      chan struct{}
}

// uploadAge is how old an unfinished upload is when it is given up.
const uploadAge = time.Hour

// Start opens the registry in a directory and serves it until Stop. The context
// bounds the start alone. Uploads that a killed process left are removed.
func Start(ctx context.Context, o Options) (_ *Registry, err error) {
	defer func() {
		if fault := recover(); fault != nil { // handlers.NewApp panics on what it cannot use
			err = fmt.Errorf("start registry in %s: %v", o.Dir, fault)
		}
	}()
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	register()
	data := filepath.Join(o.Dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	secret, err := secretIn(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start registry in %s: %w", o.Dir, err)
	}
	if err := removeUploads(ctx, data, time.Now().Add(-uploadAge)); err != nil {
		return nil, fmt.Errorf("start registry in %s: remove old uploads: %w", o.Dir, err)
	}
	listener, err := listen(ctx, o.Dir, o.Listen, log)
	if err != nil {
		return nil, fmt.Errorf("start registry in %s: %w", o.Dir, err)
	}
	// It outlives the context that it was started under.
	base := loggedContext{Context: context.WithoutCancel(ctx), entry: logrus.NewEntry(newLogrus(log))}
	r := &Registry{
		host: listener.Addr().String(),
		data: data,
		log:  log, entry: base.entry,
		app:  handlers.NewApp(base, configured(data, secret)),
		done: make(chan struct{}),
	}
	if r.namespace, err = storage.NewRegistry(base, newFiles(data)); err != nil {
		listener.Close()
		return nil, fmt.Errorf("start registry in %s: %w", o.Dir, err)
	}
	r.guard = newGuard(r.app, o.Open)
	r.server = &http.Server{
		Handler:           r.guard,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(r.done)
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the embedded registry ended", "error", err)
		}
	}()
	return r, nil
}

// configured is distribution's configuration: nothing but storage.
func configured(data, secret string) *configuration.Configuration {
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			driverName: configuration.Parameters{"rootdirectory": data},
			"delete":   configuration.Parameters{"enabled": true},
			"redirect": configuration.Parameters{"disable": true},
			// Its own purge writes to the process's standard error.
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	config.Catalog.MaxEntries = 1000
	config.Tags.MaxTags = 1000
	config.HTTP.Secret = secret
	// Wherever it is reached from, an upload goes on there.
	config.HTTP.RelativeURLs = true
	return config
}

// Host is HOST:PORT, the first part of the names of this registry's images.
func (r *Registry) Host() string { return r.host }

// Done is closed when the registry no longer serves.
func (r *Registry) Done() <-chan struct{} { return r.done }

// Stop waits for the requests under way until the context ends, then cuts them
// off. The data is whole in either case.
func (r *Registry) Stop(ctx context.Context) error {
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.server.Close())
	}
	<-r.done
	if fault := r.app.Shutdown(); fault != nil {
		err = errors.Join(err, fault)
	}
	if err != nil {
		return fmt.Errorf("stop registry %s: %w", r.host, err)
	}
	return nil
}

// newLogrus hands what distribution logs to a slog.Logger, by its handler.
func newLogrus(log *slog.Logger) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.WarnLevel)
	if log.Enabled(context.Background(), slog.LevelDebug) {
		l.SetLevel(logrus.InfoLevel)
	}
	l.AddHook(hook{log})
	return l
}
