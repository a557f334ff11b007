package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// follower goes along with a run by the agent's server-sent events.
type follower struct {
	agent *agentClient
	errs  io.Writer
	// pause is before the agent is asked again, for patience in all; a stream
	// may say nothing for silence, as the agent gives a sign more often.
	pause, patience, silence time.Duration
}

// serverEvent is one event of a stream.
type serverEvent struct{ id, name, data string }

// errEnded says that a stream told the end of its run.
var errEnded = errors.New("the run has ended")

// follow shows a run until it ends. An agent that is gone for a while, as for a
// restart, is waited for; what it said meanwhile is shown then.
func (f *follower) follow(ctx context.Context, shown shownLogs, id agent.RunID) error {
	run, err := f.agent.Run(ctx, id)
	if err != nil {
		return err
	}
	e := &runEvents{shown: shown, run: run.Run, live: liveProgress(shown.out)}
	reached := time.Now()
	for {
		connected, err := f.stream(ctx, id, e.last, e.take)
		if connected {
			reached = time.Now()
		}
		switch {
		case errors.Is(err, errEnded):
			return e.ended(ctx, f.agent)
		case ctx.Err() != nil:
			return nil // whoever looked on has gone
		case errors.As(err, new(inputError)):
			return err
		case time.Since(reached) > f.patience:
			return fmt.Errorf("follow run %d: %w", id, err)
		}
		if err != nil && !e.waits {
			fmt.Fprintf(f.errs, "lab-layers: %s; trying again\n", printable(err.Error()))
			e.waits = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(f.pause):
		}
	}
}

// stream reads events until the stream ends, which is no error, or take fails.
// It reports whether the agent answered at all.
func (f *follower) stream(ctx context.Context, id agent.RunID, last string, take func(serverEvent) error) (connected bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(f.silence, func() { cancel(fmt.Errorf("the agent has said nothing for %s", f.silence)) })
	defer silent.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if last != "" {
		header.Set("Last-Event-ID", last)
	}
	res, err := f.agent.get(ctx, fmt.Sprintf("/api/v1/runs/%d/events", id), header)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return false, cause
	}
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	var event serverEvent
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		silent.Reset(f.silence)
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			event.id = value
		case "event":
			event.name = value
		case "data":
			event.data = value
		case "":
			if event.name != "" {
				if err := take(event); err != nil {
					return true, err
				}
			}
			event = serverEvent{}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return true, cause
	}
	return true, lines.Err()
}

// runEvents shows the events of a run.
type runEvents struct {
	shown shownLogs
	run   agent.Run
	live  agent.Progress
	last  string // id of the last event
	told  bool   // something was shown of its builds
	waits bool   // it was said that the agent does not answer
}

// take shows one event. It returns errEnded after the last one.
func (e *runEvents) take(event serverEvent) error {
	e.last, e.waits = event.id, false
	if e.shown.json {
		if err := e.json(event); err != nil {
			return err
		}
	}
	var err error
	switch event.name {
	case "plan":
		var p web.Planned
		if err = json.Unmarshal([]byte(event.data), &p); err == nil {
			err = e.plan(p)
		}
	case "build":
		var h web.Happened
		if err = json.Unmarshal([]byte(event.data), &h); err == nil {
			e.build(h)
		}
	case "dropped":
		var d web.Dropped
		if err = json.Unmarshal([]byte(event.data), &d); err == nil && !e.shown.json {
			fmt.Fprintf(e.shown.out, "… %d events were lost …\n", d.Events)
		}
	case "again", "end":
		var ended web.Ended
		if err = json.Unmarshal([]byte(event.data), &ended); err != nil {
			break
		}
		e.run.State, e.run.Reason = ended.State, ended.Reason
		if event.name == "end" {
			return errEnded
		}
		if !e.shown.json {
			fmt.Fprintf(e.shown.out, "run %d goes back to the queue: %s\n", e.run.ID, oneLine(ended.Reason))
		}
	}
	if err != nil && !errors.As(err, new(inputError)) {
		return fmt.Errorf("the agent's event %q is not understood: %w", event.name, err)
	}
	return err
}

func (e *runEvents) json(event serverEvent) error {
	return printJSON(e.shown.out, struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{event.name, json.RawMessage(event.data)})
}

func (e *runEvents) plan(p web.Planned) error {
	e.told = true
	plan := &layers.Plan{Repo: e.run.Move.URL, To: p.Commit}
	for _, l := range p.Layers {
		planned := &layers.PlannedLayer{Name: l.Name, Kind: l.Kind, Step: l.Step}
		if l.Reason != nil {
			planned.Reasons = []layers.Reason{*l.Reason}
		}
		plan.Layers = append(plan.Layers, planned)
	}
	if e.shown.layer != "" {
		names := make([]string, len(plan.Layers))
		for i, l := range plan.Layers {
			names[i] = string(l.Name)
		}
		return e.shown.among(e.run.ID, names)
	}
	if !e.shown.json {
		e.live.Plan(e.run, plan)
	}
	return nil
}

func (e *runEvents) build(h web.Happened) {
	e.told = true
	if e.shown.json || e.shown.layer != "" && h.Layer != e.shown.layer {
		return
	}
	e.live.Build(e.run, pipeline.Event{Layer: h.Layer, Time: h.Time, Step: h.Step, State: h.State, Log: []byte(h.Log)})
}

// ended says how the run ended. What was not seen live is shown from the
// records.
func (e *runEvents) ended(ctx context.Context, records runRecords) error {
	var err error
	switch {
	case e.shown.json:
	case e.told:
		err = e.shown.end(e.run)
	default:
		err = e.shown.recorded(ctx, records, e.run.ID)
	}
	if err == nil && e.run.State != agent.Succeeded {
		err = silentError{inputf("run %d %s", e.run.ID, e.run.State)}
	}
	return err
}
