package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// site is a server with all that the package has. It stands for the agent and
// its records: it notes wakes, and has the runs that it is given.
type site struct {
	*testing.T
	options Options
	url     string
	feed    *Feed

	mu    sync.Mutex
	wakes []string
	found []agent.Run
	runs  map[agent.RunID]*agent.RunSummary
	down  error
}

// open is what who may read sends.
var open = map[string]string{"Authorization": "Bearer reader"}

// newSite serves on a free port of this machine.
func newSite(t *testing.T, change func(*Options)) *site {
	s := &site{T: t, feed: NewFeed(), runs: map[agent.RunID]*agent.RunSummary{}}
	s.options = Options{Waker: s, Records: s, Token: "reader", Feed: s.feed, Metrics: NewMetrics(s, time.Minute, "lab"), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&s.options)
	}
	server := httptest.NewServer(New(s.options))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) Wake(url string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakes = append(s.wakes, url)
	return true
}

func (s *site) WakeAndWait(_ context.Context, url string) ([]agent.Run, error) {
	s.Wake(url)
	return s.found, nil
}

// woken returns the wakes since it was last asked.
func (s *site) woken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.wakes, " ")
	s.wakes = nil
	return all
}

func (s *site) Runs(context.Context, int) (all []agent.RunSummary, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, run := range s.runs {
		all = append(all, *run)
	}
	return all, s.down
}

func (s *site) Run(_ context.Context, id agent.RunID) (*agent.RunSummary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id], s.down
}

func (s *site) Layers(context.Context, agent.RunID) ([]agent.HistoryEntry, error) {
	return []agent.HistoryEntry{{Layer: "unet", State: "built"}}, nil
}

func (s *site) Log(context.Context, agent.RunID, layers.Name) (string, error) {
	return "<b>copied\n", nil
}

func (s *site) Queue(context.Context) ([]agent.QueueState, error) {
	return []agent.QueueState{{State: agent.Queued, Runs: 3, Oldest: 90e9}}, s.down
}

// have records a run in a state.
func (s *site) have(id agent.RunID, state agent.State) agent.Run {
	run := agent.Run{ID: id, State: state, Move: agent.Move{URL: githubLab, Ref: "refs/heads/main", New: "b"}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[id] = &agent.RunSummary{Run: run}
	return run
}

// request sends one, and returns the answer's status and body.
func (s *site) request(method, path string, header map[string]string, body []byte) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var errDown = errors.New("no route to db.example.org")
