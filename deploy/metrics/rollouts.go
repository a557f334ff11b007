package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lab-layers/lab-layers/deploy"
)

// Records are asked at each scrape.
type Records interface {
	// Tally is where all environments stand together.
	Tally(context.Context) (deploy.Tally, error)
}

// Rollouts counts rollouts. docs/operating.md explains each metric.
type Rollouts struct {
	records Records
	ended   *prometheus.CounterVec
	held    *prometheus.CounterVec
	wait    prometheus.Histogram
	ready   *prometheus.HistogramVec
}

// NewRollouts makes them, given the names of all gates.
func NewRollouts(records Records, gates ...string) *Rollouts {
	r := &Rollouts{
		records: records,
		ended:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lab_layers_rollouts_total", Help: "Rollouts that this process brought to an end, by final state."}, []string{"state"}),
		held:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lab_layers_rollouts_held_total", Help: "Rollouts that came to be held, by what holds them and whether that passes by itself."}, []string{"gate", "passes"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lab_layers_rollout_wait_seconds", Help: "Time from a recorded snapshot to the workload that was given its images, of rollouts that a release brought.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800, 86400, 604800},
		}),
		ready: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lab_layers_rollout_ready_seconds", Help: "Time from there to the workload with all its pods replaced and available, by its kind.",
			Buckets: []float64{.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 10800},
		}, []string{"kind"}),
	}
	// So that a rate can be taken of what has not happened yet.
	for _, state := range deploy.RolloutStates {
		if state.Final() {
			r.ended.WithLabelValues(string(state))
		}
	}
	for _, gate := range append(gates, deploy.OtherGates[:]...) {
		for _, passes := range []bool{false, true} {
			r.held.WithLabelValues(gate, strconv.FormatBool(passes))
		}
	}
	return r
}

// Progress is what fills them.
func (r *Rollouts) Progress() deploy.Progress {
	return deploy.Progress{
		Held: func(_ deploy.Rollout, h deploy.Hold) {
			r.held.WithLabelValues(h.Gate, strconv.FormatBool(h.Passes())).Inc()
		},
		Began: func(rollout deploy.Rollout) {
			if !rollout.Released.IsZero() {
				r.wait.Observe(max(0, rollout.Started.Sub(rollout.Released).Seconds()))
			}
		},
		Ended: func(rollout deploy.Rollout) {
			r.ended.WithLabelValues(string(rollout.State)).Inc()
			if rollout.State == deploy.Healthy {
				r.ready.WithLabelValues(string(rollout.Environment.Kind)).Observe(max(0, rollout.Finished.Sub(rollout.Started).Seconds()))
			}
		},
	}
}

var (
	environments = description("environments", "Environments of the records, by state.", "state")
	unavailable  = description("environments_unavailable", "Environments of the records that ran well before and lack pods, in whatever state, but for those whose pods are being replaced.")
	pinned       = description("environments_pinned", "Environments of the records that a person keeps at images.")
	oldest       = description("rollouts_oldest_seconds", "How long ago the oldest rollout was decided on that has not ended, of the records, by state.", "state")
)

// tallyLimit bounds the question to the records.
const tallyLimit = 2 * time.Second

// Describe and Collect make it a [prometheus.Collector].
func (r *Rollouts) Describe(all chan<- *prometheus.Desc) {
	for _, c := range []prometheus.Collector{r.ended, r.held, r.wait, r.ready} {
		c.Describe(all)
	}
	all <- environments
	all <- unavailable
	all <- pinned
	all <- oldest
}

func (r *Rollouts) Collect(all chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{r.ended, r.held, r.wait, r.ready} {
		c.Collect(all)
	}
	ctx, cancel := context.WithTimeout(context.Background(), tallyLimit)
	defer cancel()
	tally, err := r.records.Tally(ctx)
	if err != nil {
		return // the rest is worth as much as ever; /readyz tells
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, state := range deploy.EnvironmentStates {
		gauge(environments, float64(tally.Environments[state]), string(state))
	}
	gauge(unavailable, float64(tally.Unavailable))
	gauge(pinned, float64(tally.Pinned))
	for _, state := range deploy.RolloutStates {
		if !state.Final() {
			gauge(oldest, max(0, tally.Oldest[state].Seconds()), string(state))
		}
	}
}
