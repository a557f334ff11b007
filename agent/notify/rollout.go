package notify

import (
	"context"
	"fmt"

	"github.com/lab-layers/lab-layers/agent"
)

// RolloutData is what an event tells of a rollout.
type RolloutData struct {
	agent.RolloutReport
	// URL leads to the run that made the images.
	URL string `json:"url,omitempty"`
}

// rolloutPrefix of the types of events about rollouts.
const rolloutPrefix = "dev.lab-layers.rollout."

// TellRollout sends an event, which makes it an [agent.RolloutTarget].
func (t *Target) TellRollout(ctx context.Context, r agent.RolloutReport) error {
	link := ""
	if t.link != nil && r.Run != 0 {
		link = t.link(agent.Run{ID: r.Run})
	}
	return t.send(ctx, newRolloutEvent(r, link))
}

func newRolloutEvent(r agent.RolloutReport, link string) Event {
	if r.Images == nil {
		r.Images = []agent.RolledImage{}
	}
	e := Event{
		SpecVersion: "1.0", Source: r.Repository, Subject: r.Environment, DataContentType: "application/json",
		Type: rolloutPrefix + "begun", Time: r.Started,
		ID:   fmt.Sprintf("rollout-%d-%s-%d", r.ID, r.State, r.Queued.UnixMicro()),
		Data: RolloutData{RolloutReport: r, URL: link},
	}
	if r.Ended {
		e.Type, e.Time = rolloutPrefix+"finished", r.Finished
	}
	return e
}
