package main

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/forge"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
)

// verdicts are a gate's answers in words for people.
var verdicts = map[deploy.Answer]forge.Verdict{
	deploy.Allow: forge.OK, deploy.Warn: forge.Warned, deploy.Unknown: forge.Unsure, deploy.Refuse: forge.Refused,
}

// mergeOutlook joins what the records say of a run with what the cluster has. One
// target asks it.
type mergeOutlook struct {
	store   *postgres.Store
	cluster *deploy.Outlook
	log     *slog.Logger
	last    string // that was logged
}

// outlook tells what merges would roll; nil if there is no cluster.
func (f *deployFlags) outlook(store *postgres.Store, registry string, repositories map[string]string, log *slog.Logger) (*mergeOutlook, error) {
	client, err := f.client()
	if err != nil || client == nil {
		return nil, err
	}
	return &mergeOutlook{store: store, log: log, cluster: &deploy.Outlook{
		Client: client, Repositories: repositories, Registry: cmp.Or(f.registry, registry), Namespaces: f.namespaces,
		Times: gates.Calendar{Now: time.Now}, Fit: &gates.Driver{Images: store, Now: time.Now}, Settings: gates.Settings{}, Idle: gates.WhenIdle, Records: store, Now: time.Now,
	}}, nil
}

// Touched says what a merge of a run's commit would roll.
func (o *mergeOutlook) Touched(ctx context.Context, r agent.Report, into layers.Ref) ([]forge.Touched, bool) {
	touched, err := o.touched(ctx, r, into)
	if err != nil {
		if text := err.Error(); text != o.last && ctx.Err() == nil {
			o.last = text
			o.log.Warn("cannot tell what a merge would roll", "run", r.Run.ID, "error", err)
		}
		return nil, false
	}
	o.last = ""
	var all []forge.Touched
	for _, t := range touched {
		all = append(all, forge.Touched{
			Name: t.Environment.Namespace + "/" + t.Environment.Name, Kind: t.Kind(), GPUs: t.GPUs, Layers: t.Layers,
			Verdict: verdicts[t.Verdict], Reason: t.Reason, Rolls: t.Rolls(),
		})
	}
	return all, true
}

func (o *mergeOutlook) touched(ctx context.Context, r agent.Report, into layers.Ref) ([]deploy.Touched, error) {
	var keys []layers.Key
	for _, l := range r.Layers {
		keys = append(keys, l.Key)
	}
	released, err := o.store.Released(ctx, r.Run.Move.Repository, into, r.Run.Move.Ref, keys)
	if err != nil {
		return nil, err
	}
	merge := deploy.Merge{Repository: r.Run.Move.URL, Into: into, Images: map[layers.Name]string{}}
	for _, l := range r.Layers {
		if !released[l.Key] {
			merge.Images[l.Name] = l.Image
		}
	}
	return o.cluster.Touched(ctx, merge)
}
