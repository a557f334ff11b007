package web

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func TestRuns(t *testing.T) {
	s := newSite(t, nil)
	s.have(4, agent.Succeeded)
	for _, c := range []struct {
		path   string
		header map[string]string
		status int
		has    string
	}{
		{"/api/v1/runs", open, 200, `[{"id":4,"move":{"repository":"` + githubLab + `","ref":"refs/heads/main","new":"b"},"state":"succeeded"`},
		{"/api/v1/runs?limit=0", open, 400, "limit must be"},
		{"/api/v1/runs/4", open, 200, `"layers":[{"run":0,`},
		{"/api/v1/runs/5", open, 404, "no such run"},
		{"/api/v1/runs/main", open, 404, "no such run"},
		{"/api/v1/runs/4/log?layer=unet", open, 200, "<b>copied\n"},
		{"/api/v1/runs/4/log", open, 400, "?layer="},
		{"/api/v1/runs", nil, 401, ""},
		{"/api/v1/runs", map[string]string{"Authorization": "Bearer read"}, 401, ""},
		{"/metrics", nil, 401, ""},
		{"/metrics", open, 200, "lab_layers_queue_oldest_seconds{state=\"queued\"} 90\n"},
		{"/healthz", nil, 200, "ok"},
		{"/", open, 404, ""},
	} {
		if status, text := s.request("GET", c.path, c.header, nil); status != c.status || !strings.Contains(text, c.has) || c.status == 401 && text != "" {
			t.Errorf("%s with %v: %d %s, want %d and %s", c.path, c.header, status, text, c.status, c.has)
		}
	}
	// Without a token nobody may read, whatever they send.
	closed := newSite(t, func(o *Options) { o.Token = "" })
	for _, header := range []map[string]string{nil, open, {"Authorization": "Bearer "}} {
		if status, text := closed.request("GET", "/api/v1/runs", header, nil); status != 401 || text != "" {
			t.Errorf("without a token, with %v: %d %s", header, status, text)
		}
	}
	s.down = errDown
	if status, text := s.request("GET", "/api/v1/runs", open, nil); status != 503 || strings.Contains(text, "db.example.org") {
		t.Errorf("without records: %d %s", status, text)
	}
	if status, text := s.request("GET", "/metrics", open, nil); status != 200 || !strings.Contains(text, "go_goroutines") {
		t.Errorf("metrics without records: %d %s", status, text)
	}
}

func TestReadiness(t *testing.T) {
	var asked atomic.Int64
	var down atomic.Pointer[error]
	stopping := make(chan struct{})
	s := newSite(t, func(o *Options) {
		o.Stopping = stopping
		o.Checks.Needed = map[string]Check{
			"registry": func(context.Context) error { return nil },
			"database": func(context.Context) error {
				asked.Add(1)
				if err := down.Load(); err != nil {
					return *err
				}
				return nil
			},
		}
	})
	for range 50 {
		status, text := s.request("GET", "/readyz", nil, nil)
		if status != 200 || text != `{"ready":true,"parts":{"agent":{"ok":true},"database":{"ok":true},"registry":{"ok":true}}}`+"\n" {
			t.Fatalf("%d %s", status, text)
		}
	}
	if n := asked.Load(); n >= 50 {
		t.Errorf("50 requests asked the database %d times", n)
	}
	close(stopping)
	if status, text := s.request("GET", "/readyz", open, nil); status != 503 || !strings.Contains(text, `"agent":{"ok":false,"error":"it stops`) {
		t.Errorf("while it drains: %d %s", status, text)
	}
	err := error(errDown)
	down.Store(&err)
	c := newReadiness(s.options.Checks, "agent", nil, func(*http.Request) bool { return false })
	if parts := c.ask(); parts["database"] == nil || parts["registry"] != nil {
		t.Errorf("%v", parts)
	}
	other := newSite(t, func(o *Options) { o.Checks = s.options.Checks })
	if status, text := other.request("GET", "/readyz", open, nil); status != 503 || !strings.Contains(text, "db.example.org") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := other.request("GET", "/readyz", nil, nil); status != 503 || strings.Contains(text, "db.example.org") {
		t.Errorf("to strangers: %d %s", status, text)
	}
}

// TestDegraded has a part not answer without which the agent works all the same,
// and a process that does nothing without it.
func TestDegraded(t *testing.T) {
	away := map[string]Check{"cluster": func(context.Context) error { return errDown }}
	s := newSite(t, func(o *Options) { o.Checks.Lesser = away })
	for _, c := range []struct {
		header map[string]string
		want   string
	}{
		{nil, `{"ready":true,"degraded":true,"parts":{"agent":{"ok":true},"cluster":{"ok":false}}}`},
		{open, `{"ready":true,"degraded":true,"parts":{"agent":{"ok":true},"cluster":{"ok":false,"error":"` + errDown.Error() + `"}}}`},
	} {
		if status, text := s.request("GET", "/readyz", c.header, nil); status != 200 || text != c.want+"\n" {
			t.Errorf("%d %s, want %s", status, text, c.want)
		}
	}
	measured := prometheus.NewGauge(prometheus.GaugeOpts{Name: "measured"})
	server := httptest.NewServer(NewProbes(Probes{Name: "operator", Checks: Checks{Needed: away}, Token: "reader", Collectors: []prometheus.Collector{measured}}))
	t.Cleanup(server.Close)
	s.url = server.URL
	for _, c := range []struct {
		path   string
		header map[string]string
		status int
		has    string
	}{
		{"/readyz", nil, 503, `{"ready":false,"parts":{"cluster":{"ok":false},"operator":{"ok":true}}}`},
		{"/healthz", nil, 200, "ok"},
		{"/metrics", nil, 401, ""},
		{"/metrics", open, 200, "measured 0\n"},
		{"/api/v1/runs", open, 404, ""},
	} {
		if status, text := s.request("GET", c.path, c.header, nil); status != c.status || !strings.Contains(text, c.has) {
			t.Errorf("%s: %d %s", c.path, status, text)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t, nil)
	m := s.options.Metrics.Progress()
	m.Look("lab", nil)
	m.Look("lab", errDown)
	m.Again(agent.Run{}, errDown)
	m.End(agent.Run{}, agent.Verdict{
		State: agent.Failed,
		Plan:  &layers.Plan{Layers: []*layers.PlannedLayer{{Name: "unet", Kind: layers.Experiment}}},
		Outcomes: []pipeline.Outcome{{
			Layer: "unet", State: pipeline.Made, Duration: 2e9,
			Steps: []pipeline.BuildStep{{Name: "COPY", Line: 2, Cached: true}, {Name: "RUN", Line: 3}, {Name: "RUN", Line: 4}, {Name: "load the context"}},
			Image: &pipeline.Image{Blobs: []pipeline.Blob{{Size: 1 << 20}, {Size: 300, Own: true}, {Size: 20, Own: true}}},
		}, {Layer: "base", State: pipeline.Reused, Image: &pipeline.Image{Blobs: []pipeline.Blob{{Size: 1 << 20, Own: true}}}}},
	})
	_, text := s.request("GET", "/metrics", open, nil)
	for _, want := range []string{
		`lab_layers_runs_total{state="failed"} 1`,
		`lab_layers_runs_total{state="succeeded"} 0`,
		`lab_layers_run_retries_total 1`,
		`lab_layers_layers_total{outcome="built"} 1`,
		`lab_layers_layers_total{outcome="reused"} 1`,
		`lab_layers_build_steps_total{result="cached"} 1`,
		`lab_layers_build_steps_total{result="executed"} 2`,
		`lab_layers_pushed_bytes_total 320`,
		`lab_layers_repository_poll_lag_seconds{repository="lab"} 0`,
		`lab_layers_build_seconds_sum{kind="experiment"} 2`,
		`lab_layers_repository_looks_total{repository="lab",result="failure"} 1`,
		`lab_layers_repository_last_look_timestamp_seconds{repository="lab"}`,
		`lab_layers_queue_runs{state="queued"} 3`,
		`lab_layers_queue_runs{state="building"} 0`,
		`process_open_fds`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	problems, err := testutil.GatherAndLint(s.options.Metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("against Prometheus' conventions: %v, %v", problems, err)
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestPollLag holds that a repository which was never read is told of, too.
func TestPollLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(nil, time.Minute, "read", "never")
		time.Sleep(10 * time.Minute) // of the test's own clock
		m.Progress().Look("never", errDown)
		m.Progress().Look("read", nil)
		time.Sleep(2 * time.Minute)
		const want = `# HELP lab_layers_repository_poll_lag_seconds By how much longer than the interval ago a repository's refs were last read with success, or the agent started.
# TYPE lab_layers_repository_poll_lag_seconds gauge
lab_layers_repository_poll_lag_seconds{repository="never"} 660
lab_layers_repository_poll_lag_seconds{repository="read"} 60
`
		if err := testutil.CollectAndCompare(m.lag, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

// TestStop holds that a server stops at once though somebody follows a run, and
// that a header that never ends does not keep it.
func TestStop(t *testing.T) {
	s := newSite(t, nil)
	s.have(1, agent.Building)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, New(s.options), slog.New(slog.DiscardHandler)) }()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+listener.Addr().String()+"/api/v1/runs/1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer reader")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(bufio.NewReader(res.Body)); err != nil || len(text) > 0 {
		t.Errorf("the reader got %q, %v", text, err)
	}
}
