package deploy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// counted counts what the API server is asked for, by verb and kind of path.
type counted struct {
	http.RoundTripper
	mu   sync.Mutex
	asks map[string]int
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	what := r.Method
	if r.URL.Query().Has("watch") {
		what = "watch"
	}
	c.mu.Lock()
	c.asks[what]++
	c.mu.Unlock()
	return c.RoundTripper.RoundTrip(r)
}

// take returns the counts since the last call.
func (c *counted) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.asks
	c.asks = map[string]int{}
	return taken
}

// TestRequests holds that each environment takes one request for each release,
// however many there are, and that nothing is asked for in between.
func TestRequests(t *testing.T) {
	for _, n := range []int{20, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := newLab(t)
			config := rest.CopyConfig(l.Config)
			config.QPS, config.Burst = 50, 100
			c := &counted{asks: map[string]int{}}
			config.Wrap(func(rt http.RoundTripper) http.RoundTripper { c.RoundTripper = rt; return c })
			client, err := kubernetes.NewForConfig(config)
			l.check(err)
			var all []deploy.Environment
			var mu sync.Mutex
			group, _ := errgroup.WithContext(t.Context())
			group.SetLimit(8)
			for i := range n {
				group.Go(func() error {
					e := l.deployment(workload{name: fmt.Sprintf("class-%04d", i), layer: "unet", image: ref("unet", runs(1))})
					mu.Lock()
					defer mu.Unlock()
					all = append(all, e)
					return nil
				})
			}
			l.check(group.Wait())
			rolled := func(to string) {
				t.Helper()
				clustertest.Await(t, "all to be rolled", func(ctx context.Context) error {
					listed, err := l.store.Environments(ctx)
					if err != nil {
						return err
					}
					done := 0
					for _, v := range listed {
						if v.State == deploy.Healthy && strings.HasSuffix(v.Images[0].To, to) {
							done++
						}
					}
					if done < n {
						return fmt.Errorf("%d of %d are", done, n)
					}
					return nil
				})
			}
			l.push("unet", runs(1))
			l.start(l.engine(canary, func(e *deploy.Engine) { e.Client, e.Parallel = client, 50 }))
			rolled(runs(1))
			start := c.take()
			if start[http.MethodPatch] != 0 || start["watch"] == 0 || start[http.MethodPost] != 2 {
				t.Errorf("to start it asked %v", start)
			}
			l.push("unet", runs(2))
			rolled(runs(2))
			if asks := c.take(); asks[http.MethodPatch] != n || asks[http.MethodGet]+asks[http.MethodPost]+asks[http.MethodDelete] != 0 {
				t.Errorf("to roll %d environments it asked %v", n, asks)
			}
		})
	}
}
