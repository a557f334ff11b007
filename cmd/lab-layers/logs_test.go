package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// answers has the lab's agent answer on a free port, and work until the test
// ends.
func (l *lab) answers(flags listenFlags) (url string) {
	l.Helper()
	log := slog.New(slog.DiscardHandler)
	flags.address = "127.0.0.1:0"
	listener, err := flags.listen(l.Context(), log)
	l.check(err)
	options, err := flags.options(nil, filepath.Dir(l.remote))
	l.check(err)
	stop := flags.serve(listener, options, l.agent, &stack{store: l.store, checks: shared.stack.checks}, log)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- l.agent.Serve(ctx) }()
	l.Cleanup(func() {
		cancel()
		l.check(<-served)
		stop(context.Background())
	})
	return agentURL(listener)
}

// run runs a command of this program.
func (l *lab) run(args ...string) (out string, err error) {
	var text bytes.Buffer
	root := newRoot(&text, io.Discard)
	root.SetArgs(args)
	err = root.ExecuteContext(l.Context())
	return text.String(), err
}

// TestLogs holds that a run is followed to its end through the agent, and that
// its logs are read afterwards from the records and through the agent alike.
func TestLogs(t *testing.T) {
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN echo the answer is $(( 40 + 2 )) && exit 7\n")
	l.commit("two layers, one of which fails")
	l.git("push", "-q", "-f", "origin", "HEAD:main")
	token := filepath.Join(t.TempDir(), "token")
	l.check(os.WriteFile(token, []byte("reader\n"), 0o600))
	looked := make(chan bool)
	once := sync.OnceFunc(func() { close(looked) })
	l.agent.Progress.Look = func(string, error) { once() }
	url := l.answers(listenFlags{tokenFile: token})
	<-looked

	agentFlags := []string{"--agent", url, "--api-token-file", token}
	out, err := l.run(append(agentFlags, "logs", "-f", "1")...)
	if exitCode(err) != exitInput || !strings.Contains(out, "1 failed: ") || !strings.Contains(out, "| the answer is 42\n") ||
		!strings.Contains(out, "of 2 layers to build\n") || strings.Count(out, "answer is 42") != 1 {
		t.Errorf("following a run: %v\n%s", err, out)
	}
	if out, err := l.run("logs", "1", "--agent", url); exitCode(err) != exitInput || !strings.Contains(err.Error(), "--api-token-file") {
		t.Errorf("without a token: %v %s", err, out)
	}
	over, err := l.run(append(agentFlags, "logs", "1")...)
	if err != nil || !strings.Contains(over, "unet           | the answer is 42\n") || !strings.Contains(over, "\nunet           failed: experiments/unet/Dockerfile:2: RUN echo") {
		t.Errorf("through the agent: %v\n%s", err, over)
	}
	var records bytes.Buffer
	l.check(shownLogs{out: &records}.recorded(t.Context(), l.store, 1))
	if records.String() != over {
		t.Errorf("the records say\n%s\nthe agent\n%s", &records, over)
	}
	if out, err := l.run(append(agentFlags, "logs", "1", "base")...); err != nil || strings.Contains(out, "answer") {
		t.Errorf("one layer: %v\n%s", err, out)
	}
	if out, err := l.run(append(agentFlags, "logs", "1", "unet", "-o", "json")...); err != nil || !strings.HasPrefix(out, `{"run":1,"layer":"unet","state":"failed",`) {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"logs", "1", "nothing"}, {"logs", "-f", "1", "nothing"}, {"logs", "77"}, {"logs", "-f", "77"}} {
		if out, err := l.run(append(agentFlags, args...)...); exitCode(err) != exitInput || !strings.Contains(err.Error(), "no ") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestFollowThroughTrouble holds that who follows a run sees each event once,
// though the connection breaks and the run goes back to the queue.
func TestFollowThroughTrouble(t *testing.T) {
	l := newLab(t)
	l.check(l.agent.Look(t.Context(), l.agent.Sources[0]))
	run := l.runs()[0].Run
	feed := web.NewFeed()
	fill := feed.Progress()
	server := httptest.NewServer(web.New(web.Options{
		Waker: l.agent, Records: l.store, Feed: feed, Metrics: web.NewMetrics(l.store, time.Minute), Token: "new", Log: slog.New(slog.DiscardHandler),
	}))
	defer server.Close()
	says := func(text string) {
		fill.Build(run, pipeline.Event{Layer: "unet", State: pipeline.Output, Log: []byte(text + "\n")})
	}
	plan := &layers.Plan{To: run.Move.New, Layers: []*layers.PlannedLayer{{Name: "unet", Step: layers.Build}}}

	shown, out := io.Pipe()
	asked := 0
	f := follower{
		agent: &agentClient{find: func() (string, string, error) {
			token := "new"
			if asked++; asked == 1 { // the agent has just begun anew
				token = "old"
			}
			return server.URL, token, nil
		}}, errs: io.Discard,
		pause: time.Millisecond, patience: time.Minute, silence: time.Minute,
	}
	ended := make(chan error, 1)
	go func() {
		ended <- f.follow(t.Context(), shownLogs{out: out}, run.ID)
		out.Close()
	}()
	var all bytes.Buffer
	buffer := make([]byte, 1<<16)
	await := func(text string) {
		t.Helper()
		for !strings.Contains(all.String(), text) {
			n, err := shown.Read(buffer)
			all.Write(buffer[:n])
			if err != nil {
				t.Fatalf("no %q: %v\n%s", text, err, &all)
			}
		}
	}
	fill.Plan(run, plan)
	says("one")
	await("| one\n")
	server.CloseClientConnections()
	says("two")
	await("| two\n")
	fill.Again(run, io.ErrUnexpectedEOF)
	await("goes back to the queue: unexpected EOF\n")
	fill.Plan(run, plan)
	says("three")
	await("| three\n")
	server.CloseClientConnections()
	fill.End(run, agent.Verdict{State: agent.Succeeded})
	await("run 1 succeeded\n")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for text, times := range map[string]int{"1 of 1 layers": 2, "| one": 1, "| two": 1, "| three": 1} {
		if n := strings.Count(all.String(), text); n != times {
			t.Errorf("%q is there %d times:\n%s", text, n, &all)
		}
	}

	server.Close()
	f.patience = 0
	if err := f.follow(t.Context(), shownLogs{out: io.Discard}, run.ID); err == nil || exitCode(err) != exitOutside {
		t.Errorf("an agent that is gone: %v", err)
	}
}
