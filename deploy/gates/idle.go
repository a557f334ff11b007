package gates

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/calendar"
	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// Idle lets a rollout begin once the GPUs of the nodes on which the environment's
// pods run have been idle for a while, by what node-probe writes there.
type Idle struct{ Now func() time.Time }

var _ deploy.Gate = Idle{}

// lastCall is for how long before a window closes, or a freeze begins, what waits
// for its end rolls anyway.
const lastCall = 5 * time.Minute

// Name makes it a [deploy.Gate].
func (Idle) Name() string { return "idle" }

// Check refuses while a node is in use, or was a moment ago. Whether that is known
// of a node that tells nothing is the environment's to say.
func (g Idle) Check(_ context.Context, c deploy.Candidate, _ []*corev1.Node) deploy.Verdict {
	w, err := waitOf(c.Annotations)
	if err != nil {
		return refuse("%v", err)
	}
	if w.long == 0 {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	now := g.Now()
	latest, err := w.latest(c, now)
	if err != nil {
		return refuse("%v", err)
	}
	found := w.look(c.Running, now)
	if c.Unseen != "" {
		found = w.unknown("nodes cannot be seen: " + c.Unseen)
	}
	switch {
	case found.why == "" && found.remark == "":
		return deploy.Verdict{Answer: deploy.Allow}
	case found.why == "":
		return deploy.Verdict{Answer: deploy.Unknown, Reason: found.remark}
	case !latest.IsZero() && !now.Before(latest):
		return deploy.Verdict{Answer: deploy.Warn, Reason: fmt.Sprintf("its time is up before it was idle for %s; %s", short(w.long), found.why)}
	}
	v := refuse("waits until idle for %s; %s", short(w.long), found.why)
	v.Until = found.until
	if !latest.IsZero() {
		v.Reason += "; rolls at the latest " + latest.UTC().Format("Mon 2006-01-02 15:04 MST")
		if v.Until.IsZero() || latest.Before(v.Until) {
			v.Until = latest
		}
	}
	return v
}

// wait is what an environment asks for.
type wait struct {
	long time.Duration // 0 is not to wait
	// most is for how long a rollout waits at the most; 0 is for ever.
	most time.Duration
	// window is true where it waits until its window is about to close.
	window bool
	// rolls is true where a node that tells nothing counts as idle.
	rolls bool
}

func waitOf(annotations map[string]string) (w wait, err error) {
	text, ok := annotations[IdleAnnotation]
	if !ok {
		return w, nil
	}
	if w.long, err = time.ParseDuration(text); err != nil || w.long <= 0 {
		return w, fmt.Errorf("%s is %.40q: write for how long, such as 15m", IdleAnnotation, text)
	}
	switch text := annotations[IdleLatestAnnotation]; text {
	case "":
	case "window":
		if annotations[WindowAnnotation] == "" && annotations[FreezeAnnotation] == "" {
			return w, fmt.Errorf("%s is %q, and there is none: annotate %s", IdleLatestAnnotation, text, WindowAnnotation)
		}
		w.window = true
	default:
		if w.most, err = time.ParseDuration(text); err != nil || w.most <= 0 {
			return w, fmt.Errorf("%s is %.40q: write how long it waits at the most, such as 48h, or window", IdleLatestAnnotation, text)
		}
	}
	switch policy := annotations[IdleUnknownAnnotation]; policy {
	case "", "wait":
	case "roll":
		w.rolls = true
	default:
		return w, fmt.Errorf("%s is %.40q: take wait or roll", IdleUnknownAnnotation, policy)
	}
	return w, nil
}

// WhenIdle says in words when a workload with annotations rolls that waits until
// nobody computes; empty if it does not.
func WhenIdle(annotations map[string]string) string {
	w, err := waitOf(annotations)
	switch {
	case err != nil || w.long == 0:
		return ""
	case w.window:
		return fmt.Sprintf("when idle for %s, as its window closes at the latest", short(w.long))
	case w.most > 0:
		return fmt.Sprintf("when idle for %s, after %s at the latest", short(w.long), short(w.most))
	}
	return fmt.Sprintf("when idle for %s", short(w.long))
}

// latest is when it rolls whatever the nodes do; zero is never.
func (w wait) latest(c deploy.Candidate, now time.Time) (time.Time, error) {
	switch {
	case w.most > 0:
		return c.Queued.Add(w.most), nil
	case !w.window:
		return time.Time{}, nil
	}
	times, err := calendar.Parse(c.Annotations[WindowAnnotation], c.Annotations[FreezeAnnotation])
	if err != nil {
		return time.Time{}, err
	}
	if state := times.At(now); state.Open && !state.Until.IsZero() {
		return state.Until.Add(-lastCall), nil
	}
	return time.Time{}, nil
}

// found is what nodes do.
type found struct {
	why    string // it has to wait
	remark string // of what is not known, and let be
	until  time.Time
}

// look finds the first node that is in the way: one that is in use before one that
// was a moment ago, and that before one that tells nothing.
func (w wait) look(nodes []*corev1.Node, now time.Time) (f found) {
	var unknown string
	for _, n := range nodes {
		a := gpu.ReadActivity(n.Annotations, now)
		if a.Unknown != "" {
			if unknown == "" {
				unknown = "node " + n.Name + " " + a.Unknown
			}
			continue
		}
		if a.None {
			continue
		}
		ready := a.IdleSince.Add(w.long)
		switch {
		case a.IdleSince.IsZero():
			return found{why: fmt.Sprintf("node %s busy (%.80s)", n.Name, a.Busy), until: a.Silent}
		case now.Before(ready) && ready.After(f.until):
			f.why, f.until = fmt.Sprintf("node %s idle since %s", n.Name, a.IdleSince.UTC().Format("15:04 MST")), ready
		}
	}
	if unknown == "" || f.why != "" {
		return f
	}
	return w.unknown(unknown)
}

// unknown is what is found where it is not told whether a node is idle.
func (w wait) unknown(why string) found {
	if w.rolls {
		return found{remark: "whether it is idle is not known: " + why}
	}
	return found{why: why}
}

// short is a time without the parts that are nothing: 15m, not 15m0s.
func short(d time.Duration) string {
	switch text := d.String(); {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return text
	}
}
