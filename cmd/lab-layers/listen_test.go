package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent/web"
)

// listen has an address for an agent that takes deliveries signed with "a-secret".
func (l *lab) listen(log *slog.Logger) (listenFlags, net.Listener, web.Options) {
	l.Helper()
	secrets := filepath.Join(filepath.Dir(l.remote), "secrets")
	l.check(os.WriteFile(secrets, []byte("a-secret\n"), 0o600))
	flags := listenFlags{address: "127.0.0.1:0", chosen: true, secretFile: secrets}
	listener, err := flags.listen(l.Context(), log)
	l.check(err)
	options, err := flags.options(nil, filepath.Dir(l.remote))
	l.check(err)
	return flags, listener, options
}

// TestPushIsReceived holds that the agent, which would look again in an hour
// only, is woken by a signed delivery, and says what the push gives.
func TestPushIsReceived(t *testing.T) {
	l := newLab(t)
	log := slog.New(slog.DiscardHandler)
	flags, listener, options := l.listen(log)
	l.agent.Interval = 1 << 40
	s := &stack{store: l.store, checks: shared.stack.checks}
	stop := flags.serve(listener, options, l.agent, s, log)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.agent.Serve(ctx) }()
	defer func() {
		cancel()
		l.check(<-served)
		stop(t.Context())
	}()

	url := agentURL(listener)
	deliver := func(secret string) (int, web.Told) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"repository": "file://" + l.remote, "commits": map[string]string{"refs/heads/main": string(l.head())}})
		l.check(err)
		req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/webhooks/generic?wait=5s", bytes.NewReader(body))
		l.check(err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Signature-256", web.Sign(secret, body))
		res, err := http.DefaultClient.Do(req)
		l.check(err)
		defer res.Body.Close()
		var told web.Told
		_ = json.NewDecoder(res.Body).Decode(&told) // a refusal has none
		return res.StatusCode, told
	}
	get := func(path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+path, nil)
		l.check(err)
		req.Header.Set("Authorization", "Bearer "+options.Token)
		res, err := http.DefaultClient.Do(req)
		l.check(err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		l.check(err)
		return res.Status + " " + string(text)
	}
	status, told := deliver("a-secret")
	if status != 202 || len(told.Runs) != 1 || told.Runs[0].Move.New != l.head() {
		t.Fatalf("the first push: %d %+v", status, told)
	}
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	l.commit("unet: a change")
	l.git("push", "-q", "origin", "HEAD:main")
	if status, told := deliver("a guess"); status != 401 || len(told.Runs) != 0 {
		t.Errorf("forged: %d %+v", status, told)
	}
	status, told = deliver("a-secret")
	if status != 202 || len(told.Runs) != 1 || told.Runs[0].Move.New != l.head() {
		t.Fatalf("the second push: %d %+v", status, told)
	}
	if text := get("/readyz"); !strings.HasPrefix(text, "200 ") || !strings.Contains(text, `"buildkit":{"ok":true}`) {
		t.Error(text)
	}
	if text := get("/api/v1/runs"); !strings.Contains(text, string(l.head())) {
		t.Error(text)
	}
	if text := get("/metrics"); !strings.Contains(text, `lab_layers_repository_looks_total{repository="`+l.remote+`",result="success"}`) {
		t.Error(text)
	}
	// The streams end with their runs.
	if text := get("/api/v1/runs/1/events"); !strings.Contains(text, "event: plan\n") || !strings.HasSuffix(text, "\"state\":\"succeeded\"}\n\n") {
		t.Error(text)
	}
}

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	log := slog.New(slog.DiscardHandler)
	flags := listenFlags{address: taken.Addr().String(), chosen: true}
	if _, err := flags.listen(t.Context(), log); exitCode(err) != exitInput || !strings.Contains(err.Error(), "--listen "+flags.address) {
		t.Errorf("a port that is taken: %v", err)
	}
	flags.chosen = false
	if other, err := flags.listen(t.Context(), log); err != nil {
		t.Errorf("a default that is taken: %v", err)
	} else {
		other.Close()
	}
	flags.address, flags.chosen = "off", true
	if listener, err := flags.listen(t.Context(), log); listener != nil || err != nil {
		t.Errorf("off: %v, %v", listener, err)
	}
	flags.secretFile = filepath.Join(t.TempDir(), "none")
	if _, err := flags.options(nil, t.TempDir()); exitCode(err) != exitInput || !strings.Contains(err.Error(), flags.secretFile) {
		t.Errorf("no secrets: %v", err)
	}
}
