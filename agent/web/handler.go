package web

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Waker makes the agent look at repositories; [agent.Agent] is one.
type Waker interface {
	// Wake does so soon, and returns at once.
	Wake(url string) bool
	// WakeAndWait waits for the look and returns the runs that it found.
	WakeAndWait(ctx context.Context, url string) ([]agent.Run, error)
}

// Records answers questions about runs.
type Records interface {
	// Runs returns the newest runs, at most limit of them.
	Runs(ctx context.Context, limit int) ([]agent.RunSummary, error)
	// Run returns one run; nil if there is none of that id.
	Run(ctx context.Context, id agent.RunID) (*agent.RunSummary, error)
	// Layers returns what became of each layer in a run that has ended.
	Layers(ctx context.Context, run agent.RunID) ([]agent.HistoryEntry, error)
	// Log returns the output of a layer's build; empty if there was none.
	Log(ctx context.Context, run agent.RunID, layer layers.Name) (string, error)
}

// Options of the handler.
type Options struct {
	Waker   Waker
	Records Records
	// Repositories that are watched, by the URLs that Waker knows.
	Repositories []string
	// Secrets of webhooks. Without any, only this machine may wake the agent.
	Secrets []Secret
	// Token for runs, logs and metrics, which nobody may read without.
	Token string
	// Pushed is told of tags that a registry says were pushed, by the path of the
	// repository there; nil is nobody. It returns at once.
	Pushed func(repository, tag string)
	// Feed is what running builds say.
	Feed    *Feed
	Metrics *Metrics
	// Collectors of what else is measured.
	Collectors []prometheus.Collector
	// Checks of the agent's parts.
	Checks Checks
	// Stopping is closed when the agent takes up nothing new; it may be nil.
	Stopping <-chan struct{}
	Log      *slog.Logger
}

// handler answers requests.
type handler struct {
	Options
	watched  watched
	bodies   chan struct{} // places for large bodies
	readable chan struct{} // places for streams
	unsigned *rate.Limiter // of deliveries that carry no proof
}

// New makes the handler of all that the agent answers.
func New(o Options) http.Handler {
	h := &handler{
		Options: o, watched: newWatched(o.Repositories),
		bodies: make(chan struct{}, maxLargeBodies), readable: make(chan struct{}, maxStreams),
		unsigned: rate.NewLimiter(2, 60),
	}
	o.Metrics.registry.MustRegister(o.Collectors...)
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", http.HandlerFunc(alive))
	mux.Handle("GET /readyz", newReadiness(o.Checks, "agent", o.Stopping, h.mayRead))
	mux.Handle("GET /metrics", h.private(o.Metrics.Handler()))
	for name, forge := range forges {
		mux.Handle("POST /webhooks/"+name, h.counted(name, h.webhook(forge)))
	}
	mux.Handle("POST /webhooks/registry", h.counted("registry", http.HandlerFunc(h.registryEvents)))
	mux.Handle("GET /api/v1/runs", h.private(http.HandlerFunc(h.runs)))
	mux.Handle("GET /api/v1/runs/{id}", h.private(http.HandlerFunc(h.run)))
	mux.Handle("GET /api/v1/runs/{id}/log", h.private(http.HandlerFunc(h.log)))
	mux.Handle("GET /api/v1/runs/{id}/events", h.private(http.HandlerFunc(h.events)))
	return mux
}

// alive answers as long as the process does.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}
