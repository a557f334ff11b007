package deploy

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// facts are all that is decided by about one environment.
type facts struct {
	workload *workload
	adoption *adoption
	// target is what it should run; nil if there is nothing for now.
	target *target
	// last rollout of the environment; nil if there was none.
	last *Rollout
	// before is the one that brought the images that the last went back to; nil where
	// it did not, or none did.
	before  *Rollout
	trouble trouble
	// others are pods that run something else.
	others int
	// lost is true where only nodes that are not ready keep it from its end.
	lost bool
	// still is for how long the last rollout has made no progress.
	still time.Duration
	// resumed is true where a person wants what was held to go on.
	resumed bool
	// rest is for how long no image that somebody set is to be replaced.
	rest time.Duration
}

// target is what an environment should run, and whose wish that is.
type target struct {
	repository string
	ref        layers.Ref
	commit     layers.Commit
	run        int64
	released   time.Time
	pinned     bool
	images     Images
}

// step is what is to be done next. Its parts are done in their order, and each
// is recorded before or found again afterwards: so a step that was cut short is
// decided once more. The zero value is nothing.
type step struct {
	// begin is a rollout to record. It supersedes one that has not ended.
	begin *Rollout
	// admit asks whether the patch may be made now.
	admit bool
	// hold keeps the rollout from beginning.
	hold *Hold
	// patch are the images to give to the workload.
	patch Images
	// to is the state that the last rollout goes to; empty to leave it.
	to     State
	reason string
	// corrects is true of what replaces an image that somebody set.
	corrects bool
}

// settleTime is how long a controller's verdict must stand: right after a patch
// it may still be about the images before.
const settleTime = 5 * time.Second

const byHand = "somebody set the image by hand"

func decide(f facts) step {
	if l := f.last; l != nil && !l.State.Final() {
		return f.proceed(*l)
	}
	return f.start()
}

// proceed decides about a rollout that has not ended.
func (f facts) proceed(l Rollout) step {
	now := f.workload.managed(f.adoption)
	switch {
	case l.UID != f.workload.uid:
		return step{to: Superseded, reason: "the workload was deleted and made anew"}
	case f.target != nil && !l.goal(to).same(f.target.images):
		return step{begin: f.rollout(*f.target, "")}
	}
	switch l.State {
	case Rolling:
		if !now.same(l.goal(to)) {
			return step{to: Superseded, reason: byHand}
		}
		done, failed, line := f.judge()
		switch {
		case done:
			return step{to: Healthy}
		case failed == "":
			return step{to: Rolling, reason: line}
		case l.goal(good).same(l.goal(to)), l.goal(good).missing():
			return step{to: Failed, reason: failed + "; there is no other image to go back to"}
		}
		return step{to: RollingBack, reason: failed}
	case RollingBack:
		if !now.same(l.goal(good)) {
			return step{patch: l.goal(good), to: RollingBack, reason: l.Reason}
		}
		done, failed, _ := f.judge()
		switch {
		case done:
			return step{to: RolledBack, reason: l.Reason}
		case failed != "":
			return step{to: Failed, reason: l.Reason + "; going back failed, too: " + failed}
		}
		return step{to: RollingBack, reason: l.Reason}
	}
	switch { // pending or held
	case now.same(l.goal(to)):
		return step{to: Rolling}
	case !now.same(l.goal(from)):
		return step{to: Superseded, reason: byHand}
	case f.workload.paused:
		return step{hold: &Hold{Gate: holdPaused, Reason: "the workload is paused"}}
	}
	return step{admit: true, patch: l.goal(to), to: Rolling}
}

// judge says whether the workload has come to its end with the images that it
// has: done, or failed for a reason, or neither, and how far it is.
func (f facts) judge() (done bool, failed, line string) {
	p := f.workload.progress
	why := cmp.Or(f.trouble.line, p.trouble)
	line = p.line
	if f.workload.strategy.onDelete {
		line += "; each pod gets the image when somebody deletes it"
	}
	if why != "" {
		line += "; " + why
	}
	// Pods that have just started are not ready either: so that is told at the end alone.
	atEnd := line
	if why == "" && f.trouble.unready != "" {
		atEnd += "; " + f.trouble.unready
	}
	deadline := f.deadline()
	switch {
	case p.complete && (f.others == 0 || f.workload.partial):
		return true, "", ""
	case f.trouble.hopeless:
		return false, why, line
	case f.lost && p.trouble == "":
		// The image is not at fault, and going back would wait for the same node.
		return false, "", line
	case f.workload.strategy.onDelete || deadline == 0:
	case p.failed != "" && f.still >= settleTime:
		return false, p.failed + ": " + cmp.Or(why, atEnd), line
	case f.still >= deadline:
		return false, fmt.Sprintf("no progress for %v: %s", deadline, atEnd), line
	}
	return false, "", line
}

// start decides whether a rollout is to begin.
func (f facts) start() step {
	now := f.workload.managed(f.adoption)
	known := f.last != nil && f.last.UID == f.workload.uid
	blocked := f.blocked()
	drift := f.drift() != ""
	switch {
	case f.target != nil && now.same(f.target.images):
		return step{}
	case drift && f.resumed && f.target != nil:
		return step{begin: f.rollout(*f.target, "resumed")}
	case drift && f.newlyPinned():
		return step{begin: f.rollout(*f.target, "replaces "+f.drift())}
	case drift && (!f.adoption.correct || f.rest > 0):
		return step{}
	case drift && f.target != nil && !blocked:
		return step{begin: f.rollout(*f.target, "corrects "+f.drift()), corrects: true}
	case drift && known:
		return step{patch: f.last.end(), corrects: true}
	case f.target == nil || blocked:
		return step{}
	}
	return step{begin: f.rollout(*f.target, "")}
}

// newlyPinned reports whether a person wants images that were not given yet: that
// is a later wish than what somebody set by hand before.
func (f facts) newlyPinned() bool {
	return f.target != nil && f.target.pinned && !(f.last.Pinned && f.last.goal(to).same(f.target.images))
}

// blocked reports whether the target was tried and failed: that is done again
// only where a person wants it.
func (f facts) blocked() bool {
	l := f.last
	return l != nil && f.target != nil && !f.resumed && (l.State == Failed || l.State == RolledBack) && l.goal(to).same(f.target.images)
}

// drift tells what somebody set by hand since the last rollout; empty if
// nothing.
func (f facts) drift() string {
	if f.last == nil || f.last.UID != f.workload.uid || !f.last.State.Final() {
		return ""
	}
	now, end := f.workload.managed(f.adoption), f.last.end()
	if f.target != nil && now.same(f.target.images) {
		return ""
	}
	for _, container := range now.sorted() {
		if should, ok := end[container]; ok && !sameImage(now[container], should) {
			by := ""
			if who := f.workload.setter(container); who != "" {
				by = " (" + who + ")"
			}
			return fmt.Sprintf("container %s has %s, which somebody set by hand%s; it was given %s", container, now[container], by, should)
		}
	}
	return ""
}

// rollout is the way to a target.
func (f facts) rollout(t target, cause string) *Rollout {
	now := f.workload.managed(f.adoption)
	r := &Rollout{
		Environment: f.workload.Environment, UID: f.workload.uid,
		Repository: t.repository, Ref: t.ref, Commit: t.commit, Run: t.run, Pinned: t.pinned,
		Cause: cause, Reason: cause, Released: f.released(t),
	}
	var before Images
	if f.last != nil && f.last.UID == f.workload.uid {
		before = f.last.lastGood()
	}
	for _, container := range now.sorted() {
		r.Images = append(r.Images, Image{
			Container: container, Layer: f.adoption.layers[container],
			From: now[container], To: t.images[container], Good: cmp.Or(before[container], now[container]),
		})
	}
	return r
}

// released is when the release came that a way to a target is due to; zero where it
// is due to something else, such as a person, or an environment that is newer.
func (f facts) released(t target) time.Time {
	l := f.last
	followed := l != nil && !l.Pinned && l.Queued.Before(t.released)
	if l == nil || l.UID != f.workload.uid {
		followed = f.workload.created.Before(t.released)
	}
	if t.pinned || f.resumed || !followed {
		return time.Time{}
	}
	return t.released
}

// standing is where the environment stands, once a step is done.
func (f facts) standing(waiting string) Standing {
	w := f.workload
	s := Standing{Environment: w.Environment, UID: w.uid, Track: f.adoption.track.String(), Drift: f.drift(), Resumed: f.resumed}
	now := w.managed(f.adoption)
	s.Images = w.listed(f.adoption)
	s.Commit, _ = f.origin(now)
	l := f.last
	switch {
	case l != nil && !l.State.Final():
		s.State, s.Reason = l.State, l.Reason
	case s.Drift != "":
		s.State, s.Reason = Drifted, s.Drift
		if f.adoption.correct && f.rest > 0 {
			s.Reason += fmt.Sprintf("; %d corrections were undone in a short time, the next comes in some minutes", correctionsAtOnce)
		}
	case f.target != nil && now.same(f.target.images), f.target == nil && l != nil && l.State == Healthy:
		if f.target != nil {
			s.Commit = f.target.commit
		}
		s.State = Healthy
		switch {
		case f.target == nil && waiting != "":
			s.State, s.Reason = Waiting, waiting // it follows nothing for now
		case f.target != nil && f.target.pinned:
			s.Reason = waiting
		}
		if !w.progress.complete {
			s.State, s.Reason = Degraded, w.progress.line
			if why := f.lacks(); why != "" {
				s.Reason += "; " + why
			}
		}
	case l != nil && (f.blocked() || f.target == nil):
		s.State, s.Reason = l.State, l.Reason
	default:
		s.State, s.Reason = Waiting, waiting
	}
	if s.State == Degraded || f.ranWell() && !s.State.underWay() {
		s.Unavailable = f.unavailable()
	}
	switch s.State {
	case Pending, Held, RolledBack: // whose own reasons are about other images
		if s.Unavailable != "" {
			s.Reason = strings.TrimPrefix(s.Reason+"; meanwhile "+s.Unavailable, "; ")
		}
	}
	// A wish is fulfilled once there is nothing more that it could be about.
	switch s.State {
	case Healthy, Degraded, Rolling, RollingBack:
		s.Resumed = false
	}
	return s
}

// wentBack reports whether the last rollout gave the workload, or is about to give it,
// the images that it had before.
func (f facts) wentBack() bool {
	if f.last == nil || f.last.UID != f.workload.uid {
		return false
	}
	state := f.last.State
	return state == RollingBack || state == RolledBack || state == Failed
}

// origin is the commit and the run that images are of; empty where no rollout tells.
func (f facts) origin(images Images) (layers.Commit, int64) {
	for _, r := range []*Rollout{f.last, f.before} {
		if r != nil && r.UID == f.workload.uid && images.same(r.goal(to)) {
			return r.Commit, r.Run
		}
	}
	return "", 0
}

// ranWell reports whether the workload has images to go back to: not one that waits
// for its first.
func (f facts) ranWell() bool {
	return f.last != nil && f.last.UID == f.workload.uid && !f.last.lastGood().missing()
}

// unavailable tells how many pods can be used, and why not all; empty if all can.
func (f facts) unavailable() string {
	w := f.workload
	if w.progress.complete || w.progress.available >= w.replicas {
		return ""
	}
	line := fmt.Sprintf("%d of %d available", w.progress.available, w.replicas)
	if why := f.lacks(); why != "" {
		line += ": " + why
	}
	return line
}

// lacks is what keeps pods from being available that nobody replaces.
func (f facts) lacks() string {
	return cmp.Or(f.trouble.line, f.workload.progress.trouble, f.trouble.unready)
}
