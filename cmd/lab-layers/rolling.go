package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/metrics"
	"github.com/lab-layers/lab-layers/deploy/operator"
)

// rolling is all that is done in a cluster. A nil one does nothing.
type rolling struct {
	engine   *deploy.Engine
	operator *operator.Operator
	reach    *deploy.Reach
	measured *metrics.Rollouts
}

// rolling prepares to roll what the records have of some repositories, given as
// URLs by their names; nil if there is no cluster.
func (f *deployFlags) rolling(ctx context.Context, store *postgres.Store, registry string, repositories map[string]string, log *slog.Logger) (*rolling, error) {
	engine, err := f.engine(store, registry, repositories, log)
	if engine == nil || err != nil {
		return nil, err
	}
	custom, err := f.operate(store, registry, repositories, log)
	if err != nil {
		return nil, err
	}
	inStep, err := operator.NewInStep(custom.Config, time.Now)
	if err != nil {
		return nil, err
	}
	engine.Last = append([]deploy.Gate{inStep}, engine.Last...)
	client, err := f.client() // of its own: see NewReach
	if err != nil {
		return nil, err
	}
	identity := &deploy.Identity{Client: client, Serve: store.ServeCluster, Log: log}
	if err := refuseOther(ctx, identity); err != nil {
		return nil, err
	}
	engine.Identify, custom.Identify = identity.Check, identity.Check
	var names []string
	for _, gate := range slices.Concat(engine.Gates, engine.Tests, engine.Last) {
		names = append(names, gate.Name())
	}
	measured := metrics.NewRollouts(store, names...)
	engine.Progress = measured.Progress()
	return &rolling{engine: engine, operator: custom, reach: deploy.NewReach(client, reachEvery, log), measured: measured}, nil
}

// identifyLimit is how long a start waits to be told which cluster it is. One that
// does not answer is asked again before anything is done.
const identifyLimit = 3 * time.Second

// refuseOther fails where the records are another cluster's.
func refuseOther(ctx context.Context, identity *deploy.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, identifyLimit)
	defer cancel()
	var other deploy.OtherCluster
	if err := identity.Check(ctx); errors.As(err, &other) {
		return inputError{other}
	}
	return nil
}

// reachEvery is how often the cluster is asked for a sign of life.
const reachEvery = 10 * time.Second

// clusterPart is what the cluster is called among the parts.
const clusterPart = "cluster"

// checks ask the cluster for a sign of life.
func (r *rolling) checks() map[string]web.Check {
	if r == nil {
		return nil
	}
	return map[string]web.Check{clusterPart: r.reach.Check}
}

// collectors are what is measured of it.
func (r *rolling) collectors() []prometheus.Collector {
	if r == nil {
		return nil
	}
	return []prometheus.Collector{metrics.Cluster{Reach: r.reach.Check, InStep: r.engine.InStep}, r.measured}
}

// tell has somebody woken when there is news of rollouts.
func (r *rolling) tell(wake func()) {
	if r == nil {
		return
	}
	news := func(deploy.Rollout) { wake() }
	r.engine.Progress = r.engine.Progress.And(deploy.Progress{Began: news, Ended: news})
}

// serve rolls until the context ends.
func (r *rolling) serve(ctx context.Context) {
	if r == nil {
		return
	}
	var group sync.WaitGroup
	for _, part := range []func(context.Context){r.reach.Serve, r.engine.Serve, r.operator.Serve} {
		group.Go(func() { part(ctx) })
	}
	group.Wait()
}
