package web

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lag tells by how long looks at repositories are overdue, also at those that
// never went well.
type lag struct {
	interval time.Duration
	mu       sync.Mutex
	last     map[string]time.Time
}

func newLag(interval time.Duration, repositories []string) *lag {
	l := &lag{interval: interval, last: map[string]time.Time{}}
	for _, url := range repositories {
		l.looked(url)
	}
	return l
}

// looked notes a look that went well.
func (l *lag) looked(url string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[url] = time.Now()
}

var pollLag = prometheus.NewDesc("lab_layers_repository_poll_lag_seconds", "By how much longer than the interval ago a repository's refs were last read with success, or the agent started.", []string{"repository"}, nil)

// Describe and Collect make it a [prometheus.Collector].
func (l *lag) Describe(all chan<- *prometheus.Desc) { all <- pollLag }

func (l *lag) Collect(all chan<- prometheus.Metric) {
	l.mu.Lock()
	last := maps.Clone(l.last)
	l.mu.Unlock()
	for url, at := range last {
		overdue := max(0, time.Since(at)-l.interval)
		all <- prometheus.MustNewConstMetric(pollLag, prometheus.GaugeValue, overdue.Seconds(), url)
	}
}
