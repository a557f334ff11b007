package web

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// follow opens the stream of a run and returns a function that reads its next
// event, as NAME DATA; empty at the end.
func (s *site) follow(run agent.RunID, last string) (next func() string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "GET", fmt.Sprintf("%s/api/v1/runs/%d/events", s.url, run), nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", last)
	req.Header.Set("Authorization", "Bearer reader")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		s.Fatalf("%d %s", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	return func() string {
		name := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				name = value
			case "data":
				return name + " " + value
			}
		}
		return ""
	}
}

func TestFollowARun(t *testing.T) {
	s := newSite(t, nil)
	run := s.have(1, agent.Building)
	fill := s.feed.Progress()
	early := s.follow(1, "") // before it has begun
	fill.Plan(run, &layers.Plan{Layers: []*layers.PlannedLayer{{Name: "unet", Kind: layers.Experiment, Step: layers.Build}}})
	if got := early(); got != `plan {"run":1,"ref":"refs/heads/main","commit":"b","layers":[{"name":"unet","kind":"experiment","step":"build"}]}` {
		t.Fatal(got)
	}
	fill.Build(run, pipeline.Event{Layer: "unet", Step: "RUN make", State: pipeline.Output, Log: []byte("a\nb\xff\n")})
	const log = `build {"layer":"unet","time":"0001-01-01T00:00:00Z","step":"RUN make","state":"output","log":"a\nb\ufffd\n"}`
	if got := early(); got != log {
		t.Fatal(got)
	}
	stream := s.feed.stream(1)
	late := s.follow(1, stream.id(1)) // goes on after the plan
	if got := late(); got != log {
		t.Fatal(got)
	}
	fill.End(run, agent.Verdict{State: agent.Failed, Reason: "unet: exit code 7"})
	for _, next := range []func() string{early, late, s.follow(1, stream.id(2))} {
		if got := next(); got != `end {"run":1,"state":"failed","reason":"unet: exit code 7"}` {
			t.Error(got)
		}
		if more := next(); more != "" {
			t.Errorf("after the end: %s", more)
		}
	}
	for _, other := range []string{"2", "another-2", stream.name + "-x", stream.id(-5)} {
		if got := s.follow(1, other)(); !strings.HasPrefix(got, "plan ") {
			t.Errorf("with the id %s of another stream: %s", other, got)
		}
	}
	s.have(1, agent.Failed)
	if got := s.follow(1, stream.id(3))(); !strings.HasPrefix(got, `end {"run":1,"state":"failed"`) {
		t.Errorf("who has read all: %s", got)
	}

	// One that another agent has worked off, and one that is tried again.
	s.have(2, agent.Succeeded)
	if got := s.follow(2, "")(); got != `end {"run":2,"state":"succeeded"}` {
		t.Error(got)
	}
	again := s.have(3, agent.Building)
	fill.Again(again, errDown)
	if got := s.follow(3, "")(); !strings.HasPrefix(got, `again {"run":3,"state":"queued"`) {
		t.Error(got)
	}
	waits := s.follow(3, s.feed.stream(3).id(1)) // for the next attempt
	fill.Plan(again, &layers.Plan{})
	for _, next := range []func() string{waits, s.follow(3, "")} {
		if got := next(); !strings.HasPrefix(got, "plan ") {
			t.Error(got)
		}
	}
	if status, text := s.request("GET", "/api/v1/runs/77/events", open, nil); status != 404 || !strings.Contains(text, "no such run") {
		t.Errorf("%d %s", status, text)
	}
}

// TestSlowReader holds that who does not keep up loses events and is told so,
// and that what is kept stays bounded.
func TestSlowReader(t *testing.T) {
	s := newSite(t, nil)
	run := s.have(1, agent.Building)
	fill := s.feed.Progress()
	fill.Plan(run, &layers.Plan{})
	next := s.follow(1, "")
	next()
	text := []byte(strings.Repeat("x", 1000))
	const many = 20 * maxEvents
	for range many {
		fill.Build(run, pipeline.Event{Layer: "unet", State: pipeline.Output, Log: text})
	}
	kept := s.feed.stream(1)
	if len(kept.events) > maxEvents || kept.bytes > maxBytes {
		t.Errorf("%d events with %d bytes are kept", len(kept.events), kept.bytes)
	}
	fill.End(run, agent.Verdict{State: agent.Succeeded})
	read, lost := 0, 0
	for {
		got := next()
		var n int
		if _, err := fmt.Sscanf(got, `dropped {"events":%d}`, &n); err == nil {
			lost += n
			continue
		}
		if strings.HasPrefix(got, "end ") {
			break
		}
		if got == "" {
			t.Fatal("the stream has no end")
		}
		read++
	}
	if lost == 0 || read+lost != many {
		t.Errorf("read %d, lost %d of %d", read, lost, many)
	}
}

// TestForgottenRuns holds that ended runs do not pile up.
func TestForgottenRuns(t *testing.T) {
	f := NewFeed()
	fill := f.Progress()
	for id := range agent.RunID(1000) {
		fill.Plan(agent.Run{ID: id}, &layers.Plan{})
		fill.End(agent.Run{ID: id}, agent.Verdict{State: agent.Succeeded})
	}
	if len(f.streams) != keptRuns || len(f.plans) != keptRuns {
		t.Errorf("%d streams and %d plans are kept", len(f.streams), len(f.plans))
	}
}

// TestRunsThatNeverEnd holds that neither do those pile up whose end nobody tells,
// and that who follows one is sent to wait for its next attempt.
func TestRunsThatNeverEnd(t *testing.T) {
	s := newSite(t, nil)
	fill := s.feed.Progress()
	first := s.have(1, agent.Building)
	fill.Plan(first, &layers.Plan{})
	next := s.follow(1, "")
	next()
	for id := range agent.RunID(2 * maxRunsKept) {
		fill.Plan(agent.Run{ID: id + 2}, &layers.Plan{})
	}
	if len(s.feed.streams) != maxRunsKept || len(s.feed.plans) != maxRunsKept || s.feed.stream(2*maxRunsKept+1) == nil {
		t.Errorf("%d streams and %d plans are kept", len(s.feed.streams), len(s.feed.plans))
	}
	if got := next(); !strings.HasPrefix(got, `again {"run":1,`) {
		t.Error(got)
	}
	fill.Plan(first, &layers.Plan{}) // the oldest is the newest now
	if s.feed.stream(1) == nil {
		t.Error("a run that has just begun is not kept")
	}
}
