package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/agent/web"
)

// cleanUp is what "lab-layers gc" asks of the agent that alone writes to the
// registry.
type cleanUp struct {
	Last   int           `json:"keep"`
	MinAge time.Duration `json:"min_age"`
	Grace  time.Duration `json:"grace"`
	Wait   time.Duration `json:"wait"`
}

// cleanedUp is the answer: what was done, also before an error.
type cleanedUp struct {
	Done  []cleanup.Deletion `json:"done"`
	Error string             `json:"error,omitempty"`
}

// controlDir is in the data directory, and only its user may enter it: who asks
// at the socket in it could as well stop the agent and do the work.
const controlDir = "control"

func controlSocket(dataDir string) string { return filepath.Join(dataDir, controlDir, "agent.sock") }

// serveControl answers commands on this machine until the returned function is
// called. The data directory's lock is held, so a socket that is there is a dead
// agent's.
func (s *stack) serveControl(dataDir string, log *slog.Logger) (stop func(context.Context), err error) {
	socket := controlSocket(dataDir)
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gc", func(w http.ResponseWriter, r *http.Request) { s.cleanUp(w, r, log) })
	return keep(func(ctx context.Context) {
		if err := web.Serve(ctx, listener, mux, log); err != nil {
			log.Error("cannot answer commands any more", "error", err)
		}
	}), nil
}

// cleanUp does it while whoever asks stays.
func (s *stack) cleanUp(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	var asked cleanUp
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&asked); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	log.Info("a command asks to clean up")
	keeps := cleanupFlags{last: asked.Last, minAge: asked.MinAge, grace: asked.Grace}
	cleaner := keeps.cleaner(s.store, s.client, s.found.Registry, s.sweep(), log)
	cleaner.Patience = asked.Wait
	var answer cleanedUp
	done, err := cleaner.Clean(r.Context())
	answer.Done = done
	if err != nil {
		answer.Error = err.Error()
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it may have taken long
	_ = json.NewEncoder(w).Encode(answer)                           // who has gone needs no answer
}

// askToCleanUp has the agent on a data directory do it.
func askToCleanUp(ctx context.Context, dataDir string, ask cleanUp) ([]cleanup.Deletion, error) {
	socket := controlSocket(dataDir)
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/gc", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("another lab-layers works on %s, and only it may write to its registry; it does not answer: %w", dataDir, err)
	}
	defer res.Body.Close()
	var answer cleanedUp
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the agent on %s answers %s: %w", dataDir, res.Status, err)
	}
	if answer.Error != "" {
		return answer.Done, errors.New(answer.Error)
	}
	return answer.Done, nil
}
