package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// Metrics are the agent's, for Prometheus. docs/operating.md explains each.
type Metrics struct {
	registry   *prometheus.Registry
	runs       *prometheus.CounterVec
	retries    prometheus.Counter
	layers     *prometheus.CounterVec
	steps      *prometheus.CounterVec
	pushed     prometheus.Counter
	seconds    *prometheus.HistogramVec
	looked     *prometheus.GaugeVec
	looks      *prometheus.CounterVec
	lag        *lag
	deliveries *prometheus.CounterVec
	readers    prometheus.Gauge
	dropped    prometheus.Counter
}

// Queue counts the runs that have not ended.
type Queue interface {
	Queue(context.Context) ([]agent.QueueState, error)
}

// NewMetrics makes metrics in a registry of their own. The queue is asked at
// each scrape. Repositories are looked at once in an interval.
func NewMetrics(queue Queue, interval time.Duration, repositories ...string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lab_layers_" + name, Help: help}, labels)
	}
	m := &Metrics{
		registry: newRegistry(),
		runs:     counter("runs_total", "Runs that this agent brought to an end, by final state.", "state"),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: "lab_layers_run_retries_total", Help: "Runs that went back to the queue because of the infrastructure."}),
		layers:   counter("layers_total", "Layers of the runs that this agent brought to an end, by outcome.", "outcome"),
		steps:    counter("build_steps_total", "Instructions of builds that came to an image, by whether BuildKit had their result.", "result"),
		pushed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "lab_layers_pushed_bytes_total", Help: "Compressed size of the blobs that built images do not have from their parents; what the registry already had counts, too."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lab_layers_build_seconds", Help: "Time that the build of a layer took, by kind.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600, 10800},
		}, []string{"kind"}),
		looked:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lab_layers_repository_last_look_timestamp_seconds", Help: "When a repository's refs were last read with success."}, []string{"repository"}),
		looks:      counter("repository_looks_total", "Looks at a repository's refs, by result.", "repository", "result"),
		lag:        newLag(interval, repositories),
		deliveries: counter("webhook_deliveries_total", "Webhook deliveries, by forge and HTTP status of the answer.", "forge", "code"),
		readers:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "lab_layers_stream_readers", Help: "Those who follow a run."}),
		dropped:    prometheus.NewCounter(prometheus.CounterOpts{Name: "lab_layers_stream_events_dropped_total", Help: "Events that were lost on slow readers."}),
	}
	m.registry.MustRegister(
		m.runs, m.retries, m.layers, m.steps, m.pushed, m.seconds, m.looked, m.looks, m.lag, m.deliveries, m.readers, m.dropped,
		queueCollector{queue},
	)
	// So that a rate can be taken of what has not happened yet.
	for _, state := range []agent.State{agent.Succeeded, agent.Failed, agent.Superseded, agent.Cancelled} {
		m.runs.WithLabelValues(string(state))
	}
	for _, state := range []pipeline.OutcomeState{pipeline.Made, pipeline.Reused, pipeline.Broken, pipeline.Blocked} {
		m.layers.WithLabelValues(string(state))
	}
	for _, result := range []string{cached, executed} {
		m.steps.WithLabelValues(result)
	}
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler { return scrapes(m.registry) }

// Progress is what fills the metrics.
func (m *Metrics) Progress() agent.Progress {
	return agent.Progress{
		Look: func(url string, err error) {
			result := "success"
			if err != nil {
				result = "failure"
			} else {
				m.looked.WithLabelValues(url).SetToCurrentTime()
				m.lag.looked(url)
			}
			m.looks.WithLabelValues(url, result).Inc()
		},
		End: func(_ agent.Run, v agent.Verdict) {
			m.runs.WithLabelValues(string(v.State)).Inc()
			kinds := map[layers.Name]layers.Kind{}
			if v.Plan != nil {
				for _, l := range v.Plan.Layers {
					kinds[l.Name] = l.Kind
				}
			}
			for _, out := range v.Outcomes {
				m.layers.WithLabelValues(string(out.State)).Inc()
				m.built(out)
				if out.Duration > 0 {
					m.seconds.WithLabelValues(string(kinds[out.Layer])).Observe(out.Duration.Seconds())
				}
			}
		},
		Again: func(agent.Run, error) { m.retries.Inc() },
	}
}

// Results of a step.
const (
	cached   = "cached"
	executed = "executed"
)

// built counts what was done for a layer that was built.
func (m *Metrics) built(out pipeline.Outcome) {
	if out.State != pipeline.Made {
		return
	}
	for _, step := range out.Steps {
		switch {
		case step.Line == 0: // no instruction's
		case step.Cached:
			m.steps.WithLabelValues(cached).Inc()
		default:
			m.steps.WithLabelValues(executed).Inc()
		}
	}
	for _, blob := range out.Image.Blobs {
		if blob.Own {
			m.pushed.Add(float64(blob.Size))
		}
	}
}

// queueCollector reads the queue at each scrape.
type queueCollector struct{ queue Queue }

var (
	queueRuns   = prometheus.NewDesc("lab_layers_queue_runs", "Runs that have not ended, of all agents on these records, by state.", []string{"state"}, nil)
	queueOldest = prometheus.NewDesc("lab_layers_queue_oldest_seconds", "How long ago the oldest of these runs was queued.", []string{"state"}, nil)
)

func (c queueCollector) Describe(all chan<- *prometheus.Desc) {
	all <- queueRuns
	all <- queueOldest
}

func (c queueCollector) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	states, err := c.queue.Queue(ctx)
	if err != nil {
		// Without records the rest is worth as much as ever; /readyz tells.
		return
	}
	found := map[agent.State]agent.QueueState{}
	for _, q := range states {
		found[q.State] = q
	}
	for _, state := range []agent.State{agent.Queued, agent.Building, agent.Deploying} {
		q := found[state]
		all <- prometheus.MustNewConstMetric(queueRuns, prometheus.GaugeValue, float64(q.Runs), string(state))
		all <- prometheus.MustNewConstMetric(queueOldest, prometheus.GaugeValue, max(0, q.Oldest.Seconds()), string(state))
	}
}

// counted counts the answers to the deliveries of a forge.
func (h *handler) counted(forge string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		began := time.Now()
		next.ServeHTTP(noted, r)
		h.Metrics.deliveries.WithLabelValues(forge, strconv.Itoa(noted.status)).Inc()
		h.Log.Debug("a delivery", "forge", forge, "from", r.RemoteAddr, "status", noted.status, "took", time.Since(began))
	})
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
