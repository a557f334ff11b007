package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lab-layers/lab-layers/layers"
)

// group is the environments that one release brings images on one base.
type group struct {
	repository string
	ref        layers.Ref
	run        int64
	base       layers.Name
}

// canaries are the environments that were chosen to get a release first.
type canaries struct {
	mu     sync.Mutex
	chosen map[group]Environment
	// aside are the rollouts that a gate refuses for long. They are no canaries.
	aside map[Environment]int64
}

// forget has canaries chosen anew.
func (c *canaries) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.chosen)
	clear(c.aside)
}

// stepAside notes that a rollout is refused for long, and reports whether that is
// news of one that was chosen.
func (c *canaries) stepAside(r Rollout) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside[r.Environment] == r.ID {
		return false
	}
	c.aside[r.Environment] = r.ID
	return slices.Contains(slices.Collect(maps.Values(c.chosen)), r.Environment)
}

func (c *canaries) isAside(e Environment, last *Rollout) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return last != nil && last.ID == c.aside[e]
}

func (c *canaries) get(g group) (Environment, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.chosen[g]
	return e, ok
}

func (c *canaries) set(g group, e Environment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chosen[g] = e
}

// is reports whether an environment was chosen.
func (c *canaries) is(e Environment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(slices.Collect(maps.Values(c.chosen)), e)
}

// waitsForCanary says why an environment has to wait for another one to get the
// release first; the zero Hold if it has not.
func (l *leader) waitsForCanary(ctx context.Context, f *facts) (Hold, error) {
	if !l.Canary || f.adoption.canary == "false" || f.last.passes(holdCanary) {
		return Hold{}, nil
	}
	m, err := l.member(ctx, f.workload.Environment)
	if err != nil || m == nil {
		return Hold{}, err
	}
	canary, chosen := l.canaries.get(m.group)
	if !chosen {
		if canary, err = l.choose(ctx, m.group, f.workload.Environment); err != nil {
			return Hold{}, err
		}
		l.canaries.set(m.group, canary)
	}
	if canary == f.workload.Environment {
		return Hold{}, nil
	}
	last := l.book.entry(canary).last
	ours := last != nil && last.Ref == m.group.ref && last.Run == m.group.run && last.Repository == m.group.repository
	switch {
	case ours && last.State == Healthy:
		return Hold{}, nil
	case ours && last.State == Failed:
		// It is not well with any image, which says nothing of this one.
		l.canaries.stepAside(*last)
	case ours && (last.State == RolledBack || last.State == RollingBack):
		return Hold{Gate: holdCanary, Reason: fmt.Sprintf("%s got the release first and failed: %s", canary, last.Reason)}, nil
	case ours && !last.State.Final() && !l.canaries.isAside(canary, last):
		return waitsFor(canary), nil
	}
	// It has not begun, or is refused for long, or fares ill with any image, or has
	// nothing to do any more: then there may be another.
	still, err := l.member(ctx, canary)
	if err != nil {
		return Hold{}, err
	}
	if still != nil && still.group == m.group && !l.canaries.isAside(canary, last) {
		return waitsFor(canary), nil
	}
	if canary, err = l.choose(ctx, m.group, f.workload.Environment); err != nil {
		return Hold{}, err
	}
	l.canaries.set(m.group, canary)
	if canary == f.workload.Environment {
		return Hold{}, nil
	}
	return waitsFor(canary), nil
}

func waitsFor(canary Environment) Hold {
	return Hold{Gate: holdCanary, Reason: fmt.Sprintf("waits for %s, which gets the release first", canary), waits: true}
}

// member is an environment in a group.
type member struct {
	group
	// fit is how much it tells as a canary.
	fit fitness
}

// fitness is how much an environment tells as a canary; more is better.
type fitness int

const (
	fitSilent fitness = iota // it has no pods, or takes the time of people
	fitAiling                // it is not well as it is, whatever it gets
	fitProven
	fitChosen // people chose it
)

func (f facts) fitness() fitness {
	w := f.workload
	switch {
	case f.adoption.canary == "true":
		return fitChosen
	case !w.lasting() || w.replicas == 0:
		return fitSilent
	case w.progress.complete, f.last != nil && f.last.State.underWay() && f.last.Run == f.target.run:
		return fitProven
	}
	return fitAiling
}

// member finds the group that an environment gets a release with; nil if it gets
// none.
func (l *leader) member(ctx context.Context, e Environment) (*member, error) {
	w := l.cluster.workload(e)
	if w == nil {
		return nil, nil
	}
	a, fault := w.adopted(l.Settings)
	if a == nil || fault != nil || a.unsettled != nil || a.canary == "false" {
		return nil, nil
	}
	url, known := l.Repositories.URL(a.repository)
	found := l.book.entry(e)
	if !known || found.pin != nil {
		return nil, nil
	}
	goal, _, err := l.target(ctx, w, a, url, found)
	if err != nil || goal == nil {
		return nil, err
	}
	release, err := l.book.newest(ctx, l.Store, url, a.track)
	if err != nil || release == nil {
		return nil, err
	}
	f := facts{workload: w, adoption: a, target: goal, last: found.last}
	last := found.last
	goes := last != nil && last.UID == w.uid && last.Ref == goal.ref && last.Run == goal.run && last.State != Superseded
	if !goes && (w.managed(a).same(goal.images) || f.blocked() || f.drift() != "" && !a.correct) {
		return nil, nil
	}
	return &member{
		group: group{url, goal.ref, goal.run, release.base(a.layers[w.managed(a).sorted()[0]])},
		fit:   f.fitness(),
	}, nil
}

// choose finds the canary of a group: one that people chose, else one that tells
// most, else the first by name. Who asks is a member.
func (l *leader) choose(ctx context.Context, g group, asks Environment) (Environment, error) {
	best, most := asks, fitness(-1)
	for _, e := range l.cluster.environments() {
		m, err := l.member(ctx, e)
		if err != nil {
			return asks, err
		}
		if m == nil || m.group != g || l.canaries.isAside(e, l.book.entry(e).last) {
			continue
		}
		if m.fit > most || m.fit == most && strings.Compare(e.String(), best.String()) < 0 {
			best, most = e, m.fit
		}
	}
	return best, nil
}
