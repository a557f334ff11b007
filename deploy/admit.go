package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// admit says what keeps a rollout from beginning now; the zero Hold if it may. What a
// person pinned waits for its turn alone, and what one had resumed goes past the gates
// that held it then.
func (l *leader) admit(ctx context.Context, f *facts) (Hold, error) {
	if !f.last.Pinned {
		held, remarks := l.gates(ctx, f, l.Gates)
		if held.Reason != "" {
			l.letOthers(f, held.Until)
			return held, nil
		}
		held, err := l.waitsForCanary(ctx, f)
		if held.Reason != "" || err != nil {
			return held, err
		}
		held, more := l.gates(ctx, f, l.Tests)
		if held.Reason != "" {
			l.letOthers(f, held.Until)
			return held, nil
		}
		held, remark, err := l.prePull(ctx, f)
		if held.Reason != "" || err != nil {
			if err == nil && held.Until.IsZero() {
				l.letOthers(f, held.Until)
			}
			return held, err
		}
		if remark != "" {
			more = append(more, remark)
		}
		remarks = append(remarks, more...)
		for _, p := range f.last.Passed {
			remarks = append(remarks, "resumed while held: "+p.Reason)
		}
		if held, more = l.gates(ctx, f, l.Last); held.Reason != "" {
			l.letOthers(f, held.Until)
			return held, nil
		}
		if err := l.remark(ctx, f, append(remarks, more...)...); err != nil {
			return Hold{}, err
		}
	}
	if !f.workload.lasting() || l.turns.take(f.workload.Environment) {
		return Hold{}, nil
	}
	return Hold{Gate: holdTurn, Reason: fmt.Sprintf("waits for its turn: %d rollouts go on at once", l.Parallel), waits: true}, nil
}

// remark records what gates have to say of a rollout that they let begin: before
// it does, so that it is known of every one that did.
func (l *leader) remark(ctx context.Context, f *facts, remarks ...string) error {
	said := oneLine(strings.Join(remarks, "; "))
	if said == f.last.Remark {
		return nil
	}
	if said != "" {
		l.Log.Warn("a gate has something to remark", "environment", f.workload.Environment, "rollout", f.last.ID, "remark", said)
	}
	r := *f.last
	r.Remark = said
	now, err := l.Store.Advance(ctx, r, r.State, r.Reason)
	if err != nil {
		return fmt.Errorf("record a remark: %w", err)
	}
	f.last = &now
	l.book.setLast(now)
	return nil
}

// lasting reports whether a rollout takes its own time, and not that of people
// or of a timetable.
func (w *workload) lasting() bool { return w.Kind != CronJob && !w.strategy.onDelete }

// asideAfter is for how long others wait for a canary that a gate refuses.
const asideAfter = time.Hour

// letOthers has another environment get the release first where a gate refuses
// this one for long.
func (l *leader) letOthers(f *facts, until time.Time) {
	if !until.IsZero() && until.Sub(l.Now()) < asideAfter || !l.canaries.stepAside(*f.last) {
		return
	}
	l.lookAtWaiting()
}

// standsAside has nobody wait for an environment that cannot be rolled as it is.
func (l *leader) standsAside(e Environment) {
	last := l.book.entry(e).last
	if last == nil || last.State.Final() {
		return
	}
	l.endTurn(e)
	if l.canaries.stepAside(*last) {
		l.lookAtWaiting()
	}
}

// gates asks the gates. The first that refuses has the last word; remarks are of
// those that let it begin all the same.
func (l *leader) gates(ctx context.Context, f *facts, gates []Gate) (held Hold, remarks []string) {
	if len(gates) == 0 {
		return Hold{}, nil
	}
	all := listed[*corev1.Node](l.cluster.nodes)
	nodes := f.workload.eligible(all)
	barred := others(all, nodes)
	running := l.cluster.running(f.workload.Environment)
	for _, gate := range gates {
		if f.last.passes(gate.Name()) {
			continue
		}
		for _, i := range f.last.Images {
			c := f.workload.candidate(i.Container, i.Layer, i.To)
			c.Barred, c.Running, c.Unseen, c.Queued = barred, running, l.cluster.unseenNodes(), f.last.Queued
			v := gate.Check(ctx, c, nodes)
			switch v.Answer {
			case Refuse:
				return Hold{Gate: gate.Name(), Reason: oneLine(v.Reason), Until: v.Until, firm: v.Firm}, nil
			case Warn, Unknown:
				remarks = append(remarks, oneLine(v.Reason))
			}
		}
	}
	return Hold{}, remarks
}

// passTurn lets others roll while nodes keep an environment from its end.
func (l *leader) passTurn(e Environment) {
	if l.turns.rolls(e) {
		l.endTurn(e)
	}
}

// endTurn has those look again whose turn it may be now.
func (l *leader) endTurn(e Environment) {
	for _, next := range l.turns.done(e) {
		l.queue.Add(next)
	}
}

// ended has those look again who waited for a rollout to end.
func (l *leader) ended(r Rollout) {
	l.endTurn(r.Environment)
	if l.Canary && l.canaries.is(r.Environment) {
		l.lookAtWaiting()
	}
	l.heldBy.forget(r.Environment)
	l.Progress.ended(r)
}

// superseded is what becomes of a rollout that something newer takes the place of.
func (l *leader) superseded(r Rollout) {
	r.State = Superseded
	l.ended(r)
}
