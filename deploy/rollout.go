package deploy

import (
	"maps"
	"slices"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// State of a rollout.
type State string

// A rollout is Pending until it may begin, Held while something speaks against
// that, Rolling once the workload has the new images, and then ends Healthy,
// Failed or, by way of RollingBack, RolledBack. One that something newer takes
// the place of ends Superseded.
const (
	Pending     State = "pending"
	Held        State = "held"
	Rolling     State = "rolling"
	RollingBack State = "rolling-back"
	Healthy     State = "healthy"
	Failed      State = "failed"
	RolledBack  State = "rolled-back"
	Superseded  State = "superseded"
)

// Final reports whether the state is never left.
func (s State) Final() bool {
	return s == Healthy || s == Failed || s == RolledBack || s == Superseded
}

// underWay reports whether the workload's pods are being replaced.
func (s State) underWay() bool { return s == Rolling || s == RollingBack }

// Rollout is the way of an environment to other images.
type Rollout struct {
	ID          int64       `json:"id"`
	Environment Environment `json:"environment"`
	// UID is the workload's: one that was deleted and made anew is another.
	UID string `json:"uid"`
	// Repository, Ref, Commit and Run are the release's.
	Repository string        `json:"repository"`
	Ref        layers.Ref    `json:"ref"`
	Commit     layers.Commit `json:"commit"`
	Run        int64         `json:"run"`
	// Pinned is true for one to images that a person pinned.
	Pinned bool    `json:"pinned"`
	Images []Image `json:"images"`
	State  State   `json:"state"`
	// Cause is why it began, in one line, where that is no release or pin alone: what it
	// corrects, or that a person had it resumed.
	Cause string `json:"cause,omitempty"`
	// Reason is why it stands so, in one line.
	Reason string `json:"reason,omitempty"`
	// Gate is the name of the gate that holds it, if a person can have it pass.
	Gate string `json:"gate,omitempty"`
	// Passed are the gates that a person had it pass.
	Passed []Pass `json:"passed,omitempty"`
	// Remark is what gates warned of, or could not know, as they let it begin; in
	// one line.
	Remark string `json:"remark,omitempty"`
	// Released is when the release was recorded that the rollout is due to; zero
	// where it is due to something else: a person, or an environment that is newer.
	Released time.Time `json:"released,omitzero"`
	Queued   time.Time `json:"queued"`
	// Started is when the workload was given the images; zero before.
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Image is one container's part of a rollout.
type Image struct {
	Container string      `json:"container"`
	Layer     layers.Name `json:"layer"`
	// From is what the container had, To what it gets, and Good what it goes
	// back to if that fails: references as workloads have them.
	From string `json:"from"`
	To   string `json:"to"`
	Good string `json:"good"`
}

// Pass is a gate that a person had a rollout pass, and why it held it.
type Pass struct {
	Gate   string `json:"gate"`
	Reason string `json:"reason"`
}

// passes reports whether a person had it pass a gate.
func (r Rollout) passes(gate string) bool {
	return slices.ContainsFunc(r.Passed, func(p Pass) bool { return p.Gate == gate })
}

// goal are the images by container, by one of three choices.
func (r Rollout) goal(choose func(Image) string) Images {
	images := Images{}
	for _, i := range r.Images {
		images[i.Container] = choose(i)
	}
	return images
}

func to(i Image) string   { return i.To }
func from(i Image) string { return i.From }
func good(i Image) string { return i.Good }

// end are the images that the rollout left, if it has ended. One that failed for
// good went back in vain, or stayed where there was nothing to go back to.
func (r Rollout) end() Images {
	if back := r.goal(good); (r.State == RolledBack || r.State == Failed) && !back.missing() {
		return back
	}
	return r.goal(to)
}

// lastGood are the images that were last known to be healthy as it ended.
func (r Rollout) lastGood() Images {
	if r.State == Healthy {
		return r.goal(to)
	}
	return r.goal(good)
}

// Images are references by container.
type Images map[string]string

// sorted are the containers of images, in order.
func (a Images) sorted() []string { return slices.Sorted(maps.Keys(a)) }

// same reports whether both have the same containers with the same content.
func (a Images) same(b Images) bool {
	if len(a) != len(b) {
		return false
	}
	for container, image := range a {
		other, ok := b[container]
		if !ok || !sameImage(image, other) {
			return false
		}
	}
	return true
}

// missing reports whether a container has no image to go back to.
func (a Images) missing() bool {
	for _, image := range a {
		if image == NoImage {
			return true
		}
	}
	return false
}

// Pin keeps an environment at images until it is resumed.
type Pin struct {
	Environment Environment   `json:"environment"`
	Repository  string        `json:"repository"`
	Ref         layers.Ref    `json:"ref,omitempty"`
	Commit      layers.Commit `json:"commit,omitempty"`
	// Images by container.
	Images Images    `json:"images"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

// Resumption is what it did that a person resumed an environment.
type Resumption struct {
	// Pinned is since when it was pinned; zero if it was not.
	Pinned time.Time
	// Passed is the gate that its rollout goes past; nil if none held it.
	Passed *Pass
}

// Standing is where an environment stands.
type Standing struct {
	Environment Environment `json:"environment"`
	UID         string      `json:"uid"`
	// Repository is its URL; empty where the annotations name none that is known.
	Repository string `json:"repository,omitempty"`
	Track      string `json:"track"`
	// Images that its containers have now.
	Images []Image       `json:"images"`
	Commit layers.Commit `json:"commit,omitempty"`
	State  State         `json:"state"`
	Reason string        `json:"reason,omitempty"`
	// Drift is what somebody set by hand; empty if nothing.
	Drift string `json:"drift,omitempty"`
	// Unavailable is what is wrong with the pods of one that ran well before, however
	// it stands beside; empty if nothing is, and while they are being replaced.
	Unavailable string `json:"unavailable,omitempty"`
	// Nodes is where the images are; nil where that is not known.
	Nodes *Nodes `json:"nodes,omitempty"`
	// Resumed is true from when a person had it resumed until that was done.
	Resumed bool `json:"-"`
}

// States of an environment beside those of its last rollout.
const (
	// Waiting is for images that there are none of yet.
	Waiting State = "waiting"
	// Drifted has images that somebody set by hand.
	Drifted State = "drifted"
	// Degraded has the right images, and pods that are not available.
	Degraded State = "degraded"
	// Faulty has annotations that cannot be followed.
	Faulty State = "faulty"
)
