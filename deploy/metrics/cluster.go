package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Cluster tells whether a cluster is reached, and what is known of it.
type Cluster struct {
	// Reach fails while the cluster cannot be reached. It returns at once.
	Reach func(context.Context) error
	// InStep is when all that is watched was last known as it is, and whether this
	// process is the one that deploys.
	InStep func() (at time.Time, deploys bool)
}

var (
	reachable = description("cluster_reachable", "1 if the cluster's API server answered when it was last asked.")
	deploys   = description("cluster_deploys", "1 if this process is the one that rolls the workloads of the cluster.")
	inStep    = description("cluster_watches_in_step_timestamp_seconds", "When all watches of the cluster were last had: now, but while one is lost. Absent where this process does not deploy, and before it has read all.")
)

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lab_layers_"+name, help, labels, nil)
}

// Describe and Collect make it a [prometheus.Collector].
func (c Cluster) Describe(all chan<- *prometheus.Desc) {
	all <- reachable
	all <- deploys
	all <- inStep
}

func (c Cluster) Collect(all chan<- prometheus.Metric) {
	at, leads := c.InStep()
	all <- yes(reachable, c.Reach(context.Background()) == nil)
	all <- yes(deploys, leads)
	if !at.IsZero() {
		all <- prometheus.MustNewConstMetric(inStep, prometheus.GaugeValue, float64(at.UnixMilli())/1000)
	}
}

func yes(d *prometheus.Desc, is bool) prometheus.Metric {
	value := 0.0
	if is {
		value = 1
	}
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
}
