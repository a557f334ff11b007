package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/web"
)

// BenchmarkPushWebhook measures an agent that serves, from the delivery of a
// webhook to the recorded snapshot of a one-line change, beside buildctl as
// [BenchmarkPush] does.
func BenchmarkPushWebhook(b *testing.B) {
	lab := newBenchLab(b)
	ended := make(chan agent.Verdict, 1)
	lab.agent.Progress.End = func(_ agent.Run, v agent.Verdict) { ended <- v }
	deliver := lab.serve()
	var ours, bare []time.Duration
	for round := 0; b.Loop(); round++ {
		agent := func() {
			lab.edit("experiments/resnet50/hparams.json", fmt.Sprintf("{\"webhook\": %d}\n", round))
			lab.commit()
			run(b, lab.dir, "git", "push", "-q", "--all", "origin")
			began := time.Now()
			deliver()
			if v := <-ended; v.State != "succeeded" {
				b.Fatalf("the run %s: %s", v.State, v.Reason)
			}
			ours = append(ours, time.Since(began))
		}
		buildctl := func() { bare = append(bare, lab.buildctl("resnet50", round)) }
		if round%2 == 0 {
			agent()
			buildctl()
		} else {
			buildctl()
			agent()
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(ours), "ms-webhook")
	b.ReportMetric(ms(ours)/ms(bare), "×buildctl-webhook")
}

// serve has the agent answer and work until the benchmark ends, and looks at
// refs only when it is woken. It returns a function that delivers a webhook.
func (l *benchLab) serve() (deliver func()) {
	log := slog.New(slog.DiscardHandler)
	flags := listenFlags{address: "127.0.0.1:0", chosen: true}
	listener, err := flags.listen(l.b.Context(), log)
	if err != nil {
		l.b.Fatal(err)
	}
	const secret = "a-secret"
	options := web.Options{Secrets: []web.Secret{{Value: secret}}}
	looked := make(chan struct{}, 1)
	l.agent.Progress.Look = func(string, error) {
		select {
		case looked <- struct{}{}:
		default:
		}
	}
	l.agent.Interval = 1 << 40
	stop := flags.serve(listener, options, l.agent, l.stack, log)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.agent.Serve(ctx)
	}()
	l.b.Cleanup(func() {
		cancel()
		<-served
		stop(context.Background())
	})
	<-looked
	body, err := json.Marshal(map[string]string{"repository": filepath.Join(filepath.Dir(l.dir), "lab.git")})
	if err != nil {
		l.b.Fatal(err)
	}
	return func() {
		req, err := http.NewRequest(http.MethodPost, agentURL(listener)+"/webhooks/generic", bytes.NewReader(body))
		if err != nil {
			l.b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(web.SignatureHeader, web.Sign(secret, body))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			l.b.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			l.b.Fatalf("a delivery is answered %s", res.Status)
		}
	}
}
