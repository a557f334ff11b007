package metrics

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCluster(t *testing.T) {
	var at time.Time
	var away error
	c := Cluster{
		Reach:  func(context.Context) error { return away },
		InStep: func() (time.Time, bool) { return at, !at.IsZero() },
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP lab_layers_cluster_deploys 1 if this process is the one that rolls the workloads of the cluster.
# TYPE lab_layers_cluster_deploys gauge
lab_layers_cluster_deploys 0
# HELP lab_layers_cluster_reachable 1 if the cluster's API server answered when it was last asked.
# TYPE lab_layers_cluster_reachable gauge
lab_layers_cluster_reachable 1
`)); err != nil {
		t.Error(err)
	}
	at, away = time.UnixMilli(1_700_000_000_500), errors.New("away")
	if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP lab_layers_cluster_deploys 1 if this process is the one that rolls the workloads of the cluster.
# TYPE lab_layers_cluster_deploys gauge
lab_layers_cluster_deploys 1
# HELP lab_layers_cluster_reachable 1 if the cluster's API server answered when it was last asked.
# TYPE lab_layers_cluster_reachable gauge
lab_layers_cluster_reachable 0
# HELP lab_layers_cluster_watches_in_step_timestamp_seconds When all watches of the cluster were last had: now, but while one is lost. Absent where this process does not deploy, and before it has read all.
# TYPE lab_layers_cluster_watches_in_step_timestamp_seconds gauge
lab_layers_cluster_watches_in_step_timestamp_seconds 1.7000000005e+09
`)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
