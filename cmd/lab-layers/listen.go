package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/web"
)

// defaultListen is where an agent answers that is not told otherwise.
const defaultListen = "127.0.0.1:7070"

// listenFlags say where the agent answers, and whom.
type listenFlags struct {
	address    string
	chosen     bool // the address is not the default
	secretFile string
	tokenFile  string
}

func (f *listenFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "listen", defaultListen, "address to answer webhooks, health, metrics and the API at; \"off\" is none")
	cmd.Flags().StringVar(&f.secretFile, "webhook-secret-file", "", "file with what webhooks are signed by: SECRET for all repositories or NAME SECRET, one a line (or LAB_LAYERS_WEBHOOK_SECRET)")
	cmd.Flags().StringVar(&f.tokenFile, "api-token-file", "", "file with the bearer token for runs, logs and metrics (default: a new one at each start, in api-token in --data-dir)")
}

// options reads the secrets. Where no token is given it makes one, in the data
// directory.
func (f *listenFlags) options(repositories map[string]string, dataDir string) (o web.Options, err error) {
	if secret := os.Getenv("LAB_LAYERS_WEBHOOK_SECRET"); secret != "" {
		o.Secrets = append(o.Secrets, web.Secret{Value: secret})
	}
	if f.secretFile != "" {
		text, err := os.ReadFile(f.secretFile)
		if err != nil {
			return o, inputError{err}
		}
		more, err := web.ReadSecrets(bytes.NewReader(text), f.secretFile, repositories)
		if err != nil {
			return o, inputError{err}
		}
		o.Secrets = append(o.Secrets, more...)
	}
	if f.tokenFile == "" {
		o.Token, err = newToken(dataDir)
		return o, err
	}
	if o.Token, err = readToken(f.tokenFile); err != nil {
		return o, err
	}
	return o, dropToken(dataDir)
}

// listen opens the address; nil if there is none. Where the default is taken,
// by another agent perhaps, any free port will do.
func (f *listenFlags) listen(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	if f.address == "" || f.address == "off" {
		return nil, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", f.address)
	if errors.Is(err, syscall.EADDRINUSE) && !f.chosen {
		log.Warn("the default address is taken; any free port is used", "address", f.address)
		listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, inputf("--listen %s: %w", f.address, err)
	}
	return listener, nil
}

// serve answers until the returned function is called, and tells the agent's
// progress to those who follow.
func (f *listenFlags) serve(listener net.Listener, o web.Options, a *agent.Agent, s *stack, log *slog.Logger) (stop func(context.Context)) {
	o.Waker, o.Records, o.Checks.Needed, o.Log = a, s.store, s.checks, log
	o.Pushed, o.Stopping = a.Pushed, a.Stopping
	for _, source := range a.Sources {
		o.Repositories = append(o.Repositories, source.URL())
	}
	o.Feed, o.Metrics = web.NewFeed(), web.NewMetrics(s.store, a.Interval, o.Repositories...)
	a.Progress = a.Progress.And(o.Feed.Progress()).And(o.Metrics.Progress())
	return answer(listener, web.New(o), log)
}

// addProbes adds the flags of a process that answers nothing but health and metrics.
func (f *listenFlags) addProbes(cmd *cobra.Command) {
	f.chosen = true
	cmd.Flags().StringVar(&f.address, "listen", "off", "address to answer health and metrics at, such as :7070; \"off\" is none")
	cmd.Flags().StringVar(&f.tokenFile, "api-token-file", "", "file with the bearer token for metrics, which are for nobody without")
}

// serveProbes answers until the returned function is called. Rolling is all that
// this process does, so it needs the cluster.
func (f *listenFlags) serveProbes(ctx context.Context, store *postgres.Store, rolls *rolling, log *slog.Logger) (stop func(context.Context), err error) {
	o := web.Probes{Name: "operator", Collectors: rolls.collectors(), Stopping: ctx.Done()}
	o.Checks.Needed = rolls.checks()
	o.Checks.Needed["database"] = store.Ping
	if f.tokenFile != "" {
		if o.Token, err = readToken(f.tokenFile); err != nil {
			return nil, err
		}
	}
	listener, err := f.listen(ctx, log)
	if err != nil {
		return nil, err
	}
	if listener == nil {
		return func(context.Context) {}, nil
	}
	return answer(listener, web.NewProbes(o), log), nil
}

// answer answers requests until the returned function is called.
func answer(listener net.Listener, handler http.Handler, log *slog.Logger) (stop func(context.Context)) {
	log.Info("listening", "url", agentURL(listener))
	return keep(func(ctx context.Context) {
		if err := web.Serve(ctx, listener, handler, log); err != nil {
			log.Error("cannot answer requests any more", "error", err)
		}
	})
}

// agentURL is how this machine reaches a listener.
func agentURL(listener net.Listener) string {
	address := listener.Addr().(*net.TCPAddr)
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(address.Port))
}
