package web

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Probes are what a process answers that has no runs: health and metrics.
type Probes struct {
	// Name is what the process is called among its parts.
	Name   string
	Checks Checks
	// Token for metrics and for what is wrong, which nobody may read without.
	Token string
	// Collectors of what is measured.
	Collectors []prometheus.Collector
	// Stopping is closed when the process takes up nothing new.
	Stopping <-chan struct{}
}

// NewProbes makes their handler.
func NewProbes(o Probes) http.Handler {
	registry := newRegistry()
	registry.MustRegister(o.Collectors...)
	h := &handler{Options: Options{Token: o.Token}}
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", http.HandlerFunc(alive))
	mux.Handle("GET /readyz", newReadiness(o.Checks, o.Name, o.Stopping, h.mayRead))
	mux.Handle("GET /metrics", h.private(scrapes(registry)))
	return mux
}

// newRegistry has what is measured of every process.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return registry
}

// scrapes answers Prometheus.
func scrapes(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: 4})
}
