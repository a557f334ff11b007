package web

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const (
	// keptRuns is how many runs' events are kept after their end, for those who
	// come late.
	keptRuns = 16
	// maxRunsKept is the most runs whose events are kept at all: more than one
	// agent works at, should it not learn of an end.
	maxRunsKept = 256
)

// Feed is what this agent's runs say while they go on, for any number of
// readers. It is bounded in memory and never slows a build.
type Feed struct {
	mu      sync.Mutex
	streams map[agent.RunID]*stream
	plans   map[agent.RunID]Planned
	ended   []agent.RunID
	changed chan struct{} // closed when a run is planned or ends
}

// NewFeed makes a feed without runs.
func NewFeed() *Feed {
	return &Feed{streams: map[agent.RunID]*stream{}, plans: map[agent.RunID]Planned{}, changed: make(chan struct{})}
}

// Planned is the event "plan": what a run is going to do.
type Planned struct {
	Run    agent.RunID    `json:"run"`
	Ref    layers.Ref     `json:"ref"`
	Commit layers.Commit  `json:"commit"`
	Layers []PlannedLayer `json:"layers"`
}

// PlannedLayer is one layer of a plan.
type PlannedLayer struct {
	Name   layers.Name    `json:"name"`
	Kind   layers.Kind    `json:"kind"`
	Step   layers.Step    `json:"step"`
	Reason *layers.Reason `json:"reason,omitempty"` // the first
}

// Happened is the event "build": one thing that happened in a build.
type Happened struct {
	Layer layers.Name         `json:"layer"`
	Time  time.Time           `json:"time"`
	Step  string              `json:"step,omitempty"`
	State pipeline.EventState `json:"state"`
	Log   string              `json:"log,omitempty"`
}

// Ended is the event "end", the last one of a run, and "again", after which it
// is in the queue and this stream ends.
type Ended struct {
	Run    agent.RunID `json:"run"`
	State  agent.State `json:"state"`
	Reason string      `json:"reason,omitempty"`
}

// Dropped is the event "dropped": so many events were lost on a slow reader.
type Dropped struct {
	Events int `json:"events"`
}

// Progress is what fills the feed.
func (f *Feed) Progress() agent.Progress {
	return agent.Progress{
		Plan: func(run agent.Run, plan *layers.Plan) {
			p := Planned{Run: run.ID, Ref: run.Move.Ref, Commit: run.Move.New, Layers: []PlannedLayer{}}
			for _, l := range plan.Layers {
				planned := PlannedLayer{Name: l.Name, Kind: l.Kind, Step: l.Step}
				if len(l.Reasons) > 0 {
					planned.Reason = &l.Reasons[0]
				}
				p.Layers = append(p.Layers, planned)
			}
			f.begin(run.ID, p).add(encode("plan", p), false)
		},
		Build: func(run agent.Run, e pipeline.Event) {
			if s := f.stream(run.ID); s != nil {
				s.add(encode("build", Happened{e.Layer, e.Time, e.Step, e.State, string(e.Log)}), false)
			}
		},
		End: func(run agent.Run, v agent.Verdict) {
			f.end(run.ID, encode("end", Ended{run.ID, v.State, v.Reason}))
		},
		Again: func(run agent.Run, why error) {
			f.end(run.ID, encode("again", Ended{run.ID, agent.Queued, why.Error()}))
		},
	}
}

func encode(name string, v any) event {
	data, err := json.Marshal(v)
	if err != nil { // none of these types can fail
		data = []byte("{}")
	}
	return event{name, data}
}

// begin makes the stream of a run, anew if it was tried before.
func (f *Feed) begin(run agent.RunID, p Planned) *stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := newStream()
	delete(f.streams, run)
	for len(f.streams) >= maxRunsKept {
		oldest := slices.Min(slices.Collect(maps.Keys(f.streams)))
		f.streams[oldest].add(encode("again", Ended{oldest, agent.Queued, "it is no longer followed here"}), true)
		f.forget(oldest)
	}
	f.streams[run], f.plans[run] = s, p
	f.tell()
	return s
}

// forget lets a run go; the mutex is held.
func (f *Feed) forget(run agent.RunID) {
	delete(f.streams, run)
	delete(f.plans, run)
}

// end ends the stream of a run; it may have none, if it came to no plan.
func (f *Feed) end(run agent.RunID, last event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[run]
	if s == nil {
		s = newStream()
		f.streams[run] = s
	}
	s.add(last, true)
	f.ended = append(f.ended, run)
	for len(f.ended) > keptRuns {
		if old := f.ended[0]; f.streams[old] != nil && f.streams[old].isOver() {
			f.forget(old)
		}
		f.ended = f.ended[1:]
	}
	f.tell()
}

// tell wakes those who wait for a change; the mutex is held.
func (f *Feed) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// stream finds that of a run; nil if it does not go on here.
func (f *Feed) stream(run agent.RunID) *stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams[run]
}

// resume finds the stream of a run for a reader whose last event had an id, and
// where it goes on; nil if there is none here that has more for that reader.
func (f *Feed) resume(run agent.RunID, last string) (s *stream, at int) {
	s = f.stream(run)
	if s == nil {
		return nil, 0
	}
	if at = s.place(last); s.read(at) {
		return nil, 0
	}
	return s, at
}

// planned returns the plan of a run, if it is known; changed is closed when
// that may be otherwise.
func (f *Feed) planned(run agent.RunID) (p Planned, known, over bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, known = f.plans[run]
	if s := f.streams[run]; s != nil {
		over = s.isOver()
	}
	return p, known, over, f.changed
}
