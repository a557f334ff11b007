package notify

import (
	"fmt"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Event is a CloudEvent about a run or a rollout.
type Event struct {
	SpecVersion string `json:"specversion"`
	// ID is the same for the same run or rollout in the same state.
	ID string `json:"id"`
	// Source is the repository's URL.
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"` // the ref, or the environment
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            any       `json:"data"`
}

// Data is what an event tells of a run.
type Data struct {
	agent.Run
	// URL leads to more.
	URL string `json:"url,omitempty"`
	// Next is the newest later run of the ref, if there is one.
	Next   agent.RunID `json:"next,omitempty"`
	Layers []Layer     `json:"layers"`
}

// Layer is one layer of a run: what is to be done about it, or what became of
// it.
type Layer struct {
	Name    layers.Name     `json:"name"`
	Kind    layers.Kind     `json:"kind,omitempty"`
	State   string          `json:"state"`
	Reasons []layers.Reason `json:"reasons"`
	// Estimate and Seconds of its build.
	Estimate float64 `json:"estimate,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	// OwnBytes is what it adds to its parent's image.
	OwnBytes int64          `json:"own_bytes,omitempty"`
	Image    string         `json:"image,omitempty"`
	Error    *agent.Failure `json:"error,omitempty"`
}

// prefix of the types of events about runs.
const prefix = "dev.lab-layers.run."

func newEvent(r agent.Report, link string) Event {
	data := Data{Run: r.Run, URL: link, Next: r.Next, Layers: []Layer{}}
	e := Event{
		SpecVersion: "1.0", Source: r.Run.Move.URL, Subject: string(r.Run.Move.Ref), DataContentType: "application/json",
		Type: prefix + string(r.Run.State), Time: r.Run.Queued,
		// The time when it was queued tells the runs of two installations apart.
		ID: fmt.Sprintf("%d-%s-%d", r.Run.ID, r.Run.State, r.Run.Queued.UnixMicro()),
	}
	switch {
	case r.Run.State.Final():
		e.Type, e.Time = prefix+"finished", r.Run.Finished
	case !r.Run.Started.IsZero():
		e.Time = r.Run.Started
	}
	for _, l := range r.Layers {
		state := string(l.State)
		if state == "" {
			state = string(l.Step)
		}
		reasons := l.Reasons
		if reasons == nil {
			reasons = []layers.Reason{}
		}
		data.Layers = append(data.Layers, Layer{
			Name: l.Name, Kind: l.Kind, State: state, Reasons: reasons, Estimate: l.Estimate, Seconds: l.Seconds,
			OwnBytes: l.Own, Image: l.Image, Error: l.Error,
		})
	}
	e.Data = data
	return e
}
