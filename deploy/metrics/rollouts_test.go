package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lab-layers/lab-layers/deploy"
)

// tallied are records that say where environments stand.
type tallied struct {
	tally deploy.Tally
	down  error
}

func (t *tallied) Tally(context.Context) (deploy.Tally, error) { return t.tally, t.down }

func TestRollouts(t *testing.T) {
	records := &tallied{tally: deploy.Tally{
		Environments: map[deploy.State]int{deploy.Waiting: 2, deploy.Held: 3}, Pinned: 1, Unavailable: 2, Oldest: map[deploy.State]time.Duration{deploy.Held: time.Minute},
	}}
	r := NewRollouts(records, "driver")
	now := time.Now()
	rollout := deploy.Rollout{
		Environment: deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: "unet"}, State: deploy.Healthy,
		Released: now, Started: now.Add(2 * time.Second), Finished: now.Add(30 * time.Second),
	}
	p := r.Progress()
	p.Held(rollout, deploy.Hold{Gate: "driver", Reason: "no"})
	p.Began(rollout)
	p.Ended(rollout)
	rollout.State, rollout.Released = deploy.RolledBack, time.Time{}
	p.Began(rollout)
	p.Ended(rollout)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(r)
	scraped := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	text := scraped.Body.String()
	for _, want := range []string{
		`lab_layers_rollouts_total{state="healthy"} 1`, `lab_layers_rollouts_total{state="rolled-back"} 1`, `lab_layers_rollouts_total{state="superseded"} 0`,
		`lab_layers_rollouts_held_total{gate="driver",passes="false"} 1`, `lab_layers_rollouts_held_total{gate="canary",passes="true"} 0`,
		"lab_layers_rollout_wait_seconds_sum 2\n", "lab_layers_rollout_wait_seconds_count 1\n",
		`lab_layers_rollout_ready_seconds_sum{kind="Deployment"} 28`, `lab_layers_rollout_ready_seconds_count{kind="Deployment"} 1`,
		`lab_layers_environments{state="waiting"} 2`, `lab_layers_environments{state="faulty"} 0`, "lab_layers_environments_pinned 1\n", "lab_layers_environments_unavailable 2\n",
		`lab_layers_rollouts_oldest_seconds{state="held"} 60`, `lab_layers_rollouts_oldest_seconds{state="rolling"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "unet") {
		t.Error("an environment is named")
	}
	if problems, err := testutil.CollectAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	records.down = errors.New("away")
	if n := testutil.CollectAndCount(r, "lab_layers_rollouts_total"); n != 4 {
		t.Errorf("without records there are %d outcomes", n)
	}
	if n := testutil.CollectAndCount(r, "lab_layers_environments"); n != 0 {
		t.Errorf("without records there are %d states", n)
	}
}
