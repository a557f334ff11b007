package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/layers"
)

// TestMovedBaseImage holds that the records say so when an image from outside
// pointed elsewhere at the next push, that they tell it from changed files, and
// that a new branch is told against main.
func TestMovedBaseImage(t *testing.T) {
	l := newLab(t)
	move, ref := l.outside(), l.prefix+"/outside:12"
	first := move()
	v := l.pushed()
	for _, layer := range v.Plan.Layers {
		if len(layer.Reasons) != 1 || layer.Reasons[0].Kind != layers.ReasonNew {
			t.Errorf("in the first run %s is told by %v", layer.Name, layer.Reasons)
		}
	}

	second := move()
	l.write("README.md", "New.\n")
	l.pushed()
	l.told(map[layers.Name]string{
		"base":    "base-image: " + ref + ": " + first + " → " + second,
		"pytorch": "parent: base of key", "tensorflow": "parent: base of key",
		"resnet50": "parent: pytorch of key", "unet": "parent: pytorch of key", "yolov7": "parent: pytorch of key",
		"gpt-2": "parent: pytorch of key", "bert-base": "parent: tensorflow of key",
	})
	l.write("README.md", "Newer.\n")
	l.pushed()
	l.told(nil)

	third := move()
	l.git("checkout", "-q", "-b", "feature/x")
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	if got := l.built(l.push("refs/heads/feature/x")); got != everything {
		t.Errorf("built %q", got)
	}
	l.told(map[layers.Name]string{
		"base":    "base-image: " + ref + ": " + second + " → " + third,
		"pytorch": "parent: base of key", "tensorflow": "parent: base of key",
		"resnet50": "parent: pytorch of key", "yolov7": "parent: pytorch of key",
		"gpt-2": "parent: pytorch of key", "bert-base": "parent: tensorflow of key",
		"unet": "parent: pytorch of key\npath: experiments/unet/hparams.json",
	})
}

// TestRefresh holds that a refresh builds what a base image that moved changes,
// and that one which finds nothing moved leaves no trace in the history.
func TestRefresh(t *testing.T) {
	l := newLab(t)
	move := l.outside()
	move()
	l.pushed()
	entries := func() int {
		entries, err := l.store.History(l.Context(), postgres.HistoryFilter{})
		l.check(err)
		return len(entries)
	}
	before := entries()
	refresh := func() string {
		l.builds.take()
		l.check(l.agent.Refresh(l.Context()))
		l.check(l.agent.Refresh(l.Context())) // one run is enough
		return l.built(l.work())
	}
	if got := refresh(); got != "" || entries() != before {
		t.Errorf("with nothing moved built %q, and %d entries became %d", got, before, entries())
	}
	move()
	if got := refresh(); got != everything || entries() != before+8 {
		t.Errorf("built %q, and %d entries became %d", got, before, entries())
	}
	if run := l.runs()[0]; run.State != agent.Succeeded || run.Move.Old != run.Move.New {
		t.Errorf("the run is %+v", run)
	}
}

// TestPushedBaseImage holds that the notification of a registry that somebody
// pushed a base image to has it built upon, with no schedule and no push to the
// repository; also where it was not there at all, and the last run failed for that.
func TestPushedBaseImage(t *testing.T) {
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprintf("there before %v", there), func(t *testing.T) { testPushedBaseImage(t, there) })
	}
}

func testPushedBaseImage(t *testing.T, there bool) {
	l := newLab(t)
	log := slog.New(slog.DiscardHandler)
	flags, listener, options := l.listen(log)
	host, speak := notifying(t, agentURL(listener)+"/webhooks/registry", "a-secret")
	image := host + "/os/base:12"
	move := l.standsOn(image)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n")
	want := agent.Failed
	if there {
		move()
		want = agent.Succeeded
	}
	if v := l.push("refs/heads/main"); v.State != want {
		t.Fatalf("the run before %s: %s", v.State, v.Reason)
	}
	speak()
	ended := make(chan agent.Verdict, 1)
	l.agent.Progress = l.agent.Progress.And(agent.Progress{End: func(_ agent.Run, v agent.Verdict) { ended <- v }})
	l.agent.Interval = 1 << 40
	stop := flags.serve(listener, options, l.agent, &stack{store: l.store}, log)
	defer stop(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.agent.Serve(ctx) }()
	defer func() {
		cancel()
		l.check(<-served)
	}()

	l.builds.take()
	digest := move()
	select {
	case v := <-ended:
		if got := l.built(v); got != "base" || v.State != agent.Succeeded {
			t.Errorf("built %q, %s", got, v.State)
		}
		if images := v.Plan.Layers[0].Outside(); len(images) != 1 || !strings.HasPrefix(string(images[image]), digest) {
			t.Errorf("the base stands on %v", images)
		}
	case <-time.After(lineLimit):
		t.Fatal("the push of a base image wakes nobody")
	}
}

// notifying is distribution's registry, which tells an agent of what is pushed to
// it once it speaks; it returns its host.
func notifying(t *testing.T, url, secret string) (host string, speak func()) {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{"filesystem": {"rootdirectory": t.TempDir()}}}
	config.HTTP.Secret = "of uploads"
	logrus.SetOutput(io.Discard) // it logs every request to the standard error
	var app atomic.Pointer[handlers.App]
	app.Store(handlers.NewApp(t.Context(), config))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), func() {
		config.Notifications.Endpoints = []configuration.Endpoint{{
			Name: "agent", URL: url, Headers: http.Header{"Authorization": {"Bearer " + secret}},
			Timeout: 5 * time.Second, Threshold: 1, Backoff: time.Second,
		}}
		app.Store(handlers.NewApp(t.Context(), config))
	}
}

// outside has the base layer stand on an image from outside, which the returned
// function moves; it returns the digest.
func (l *lab) outside() (move func() string) {
	l.Helper()
	return l.standsOn(l.prefix + "/outside:12")
}

// standsOn is outside with a reference of the image.
func (l *lab) standsOn(image string) (move func() string) {
	l.Helper()
	ref, err := name.ParseReference(image)
	l.check(err)
	l.replace("images/base/Dockerfile", "FROM scratch", "FROM "+ref.String())
	return func() string {
		image, err := random.Image(1024, 1)
		l.check(err)
		l.check(remote.Write(ref, image, remote.WithAuthFromKeychain(shared.stack.keychain)))
		d, err := image.Digest()
		l.check(err)
		return fmt.Sprintf("%.19s", d)
	}
}

// told checks the reasons that the history has of the newest run, by how they
// begin.
func (l *lab) told(want map[layers.Name]string) {
	l.Helper()
	entries, err := l.store.History(l.Context(), postgres.HistoryFilter{Limit: 8})
	l.check(err)
	for _, e := range entries {
		if begin := want[e.Layer]; strings.HasPrefix(begin, "base-image: ") && !strings.Contains("base-image: "+whyEntry(e), begin) {
			l.Errorf("the history says of %s: %s", e.Layer, whyEntry(e))
		}
		var reasons []string
		for _, r := range e.Reasons {
			reasons = append(reasons, string(r.Kind)+": "+r.Detail)
		}
		begin := strings.Split(want[e.Layer], "\n")
		if want[e.Layer] == "" {
			begin = nil
		}
		if len(reasons) != len(begin) {
			l.Errorf("%s is told by %q, not %q", e.Layer, reasons, begin)
			continue
		}
		for i, reason := range reasons {
			if !strings.HasPrefix(reason, begin[i]) {
				l.Errorf("%s is told by %q, not %q", e.Layer, reasons, begin)
			}
		}
		if e.Key != e.PreviousKey && len(begin) == 0 {
			l.Errorf("%s went from %s to %s, and nothing tells why", e.Layer, e.PreviousKey, e.Key)
		}
	}
}
