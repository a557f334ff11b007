package probe

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// Metrics are the last round's, for Prometheus.
type Metrics struct {
	registry *prometheus.Registry

	mu        sync.Mutex
	report    gpu.Report
	idleSince time.Time
}

// NewMetrics makes metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(), m)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4})
}

func (m *Metrics) set(r gpu.Report, idleSince time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report, m.idleSince = r, idleSince
}

var (
	up        = description("node_driver_up", "1 if the NVIDIA driver answers and has a GPU.")
	driver    = description("node_driver_info", "The NVIDIA driver and the CUDA version that it offers.", "driver", "cuda")
	lost      = description("node_gpus_lost", "GPUs that do not answer.")
	idle      = description("node_gpus_idle_since_timestamp_seconds", "Since when no GPU of the node is in use; absent while one is, or where that is not known.")
	device    = description("gpu_info", "A GPU.", "uuid", "product", "capability", "mig")
	memory    = description("gpu_memory_bytes", "A GPU's memory.", "uuid")
	used      = description("gpu_memory_used_bytes", "Memory of a GPU that is in use.", "uuid")
	processes = description("gpu_processes", "Processes that compute on a GPU; absent where the driver does not say.", "uuid")
	busy      = description("gpu_utilisation_ratio", "Part of the time in which a GPU computed; absent where the driver does not say.", "uuid")
)

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lab_layers_"+name, help, labels, nil)
}

// Describe sends nothing: what there is depends on the node.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends the last round.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	r, since := m.report, m.idleSince
	m.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if r.Fault != "" || len(r.GPUs) == 0 {
		gauge(up, 0)
	} else {
		gauge(up, 1)
	}
	gauge(lost, float64(r.Lost))
	if r.Driver.Known() {
		gauge(driver, 1, r.Driver.String(), r.CUDA.String())
	}
	if !since.IsZero() {
		gauge(idle, float64(since.Unix()))
	}
	for _, g := range r.GPUs {
		mig := "off"
		if g.MIG {
			mig = "on"
		}
		gauge(device, 1, g.UUID, g.Product, g.Capability.String(), mig)
		gauge(memory, float64(g.MemoryMiB<<20), g.UUID)
		gauge(used, float64(g.Use.UsedMemoryMiB<<20), g.UUID)
		if g.Use.Processes >= 0 {
			gauge(processes, float64(g.Use.Processes), g.UUID)
		}
		if g.Use.Percent >= 0 {
			gauge(busy, float64(g.Use.Percent)/100, g.UUID)
		}
	}
}
