package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the server. The times are such that a slow client holds a
// connection for seconds, and the number that all of them together stay small
// beside the agent.
const (
	headerTime     = 5 * time.Second
	requestTime    = 30 * time.Second
	answerTime     = 30 * time.Second
	idleTime       = time.Minute
	stopTime       = 5 * time.Second
	maxHeader      = 16 << 10
	maxConnections = 512
)

// Serve answers requests on a listener until the context ends. Requests under
// way then have some seconds to end; streams end at once.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return streams },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	endStreams()
	hurry, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := server.Shutdown(hurry); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}
