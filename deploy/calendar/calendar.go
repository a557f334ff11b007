package calendar

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Calendar is when rollouts may begin. The zero value is always open.
type Calendar struct {
	windows []Window
	freezes []Window
}

// Parse reads windows and freezes, several of each with semicolons or line
// breaks between. Nothing is no restriction. The error is every fault of as many as
// there may be.
func Parse(windows, freezes string) (Calendar, error) {
	var c Calendar
	var faults []error
	read := func(kind, text string) (list []Window) {
		entries := 0
		for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
			if strings.TrimSpace(entry) == "" {
				continue
			}
			if entries++; entries > maxEntries {
				faults = append(faults, fmt.Errorf("there are more than %d %ss: no more are looked through", maxEntries, kind))
				break
			}
			w, err := ParseWindow(entry)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s %w", kind, err))
				continue
			}
			list = append(list, w)
		}
		return list
	}
	c.windows, c.freezes = read("window", windows), read("freeze", freezes)
	return c, errors.Join(faults...)
}

// maxEntries bounds the windows, and the freezes, of a calendar.
const maxEntries = 5

// State is what a calendar says of a moment.
type State struct {
	Open bool `json:"open"`
	// Reason in one line: what is waited for and until when, or how long it
	// stays open.
	Reason string `json:"reason"`
	// Until is when Open changes, in the zone of what decides; zero if it does not
	// within [Horizon].
	Until time.Time `json:"until,omitzero"`
}

// Horizon is how far ahead changes are looked for.
const Horizon = 400 * 24 * time.Hour

// At says whether rollouts may begin at a moment.
func (c Calendar) At(now time.Time) State {
	if frozen, by := c.frozen(now); !frozen.IsZero() {
		return c.closed(now, fmt.Sprintf("frozen (%s)", by), by.zone)
	}
	end, by := c.open(now)
	switch {
	case len(c.windows) == 0:
	case end.IsZero():
		return c.closed(now, "outside its window ("+c.list()+")", c.windows[0].zone)
	}
	until := c.closes(now)
	if until.IsZero() {
		return State{Open: true, Reason: "open"}
	}
	zone := time.UTC
	if by != nil {
		zone = by.zone
	} else if len(c.freezes) > 0 {
		zone = c.freezes[0].zone
	}
	return State{Open: true, Reason: "open until " + written(until, zone), Until: until.In(zone)}
}

func (c Calendar) closed(now time.Time, why string, zone *time.Location) State {
	opens := c.opens(now)
	if opens.IsZero() {
		return State{Reason: fmt.Sprintf("%s; it does not open within %d days", why, int(Horizon.Hours()/24))}
	}
	return State{Reason: why + "; opens " + written(opens, zone), Until: opens.In(zone)}
}

// written is a moment for people.
func written(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Mon 2006-01-02 15:04 MST")
}

func (c Calendar) list() string {
	var all []string
	for _, w := range c.windows {
		all = append(all, w.String())
	}
	return strings.Join(all, "; ")
}

// maxSteps bounds the search for a change.
const maxSteps = 1000

// opens is the first moment after a closed one that is open.
func (c Calendar) opens(now time.Time) time.Time {
	t := now
	for range maxSteps {
		if t.Sub(now) > Horizon {
			break
		}
		if end, _ := c.frozen(t); !end.IsZero() {
			t = end
			continue
		}
		if len(c.windows) == 0 {
			return t
		}
		if end, _ := c.open(t); !end.IsZero() {
			return t
		}
		if t = nextOf(c.windows, t); t.IsZero() {
			break
		}
	}
	return time.Time{}
}

// closes is the first moment after an open one that is closed.
func (c Calendar) closes(now time.Time) time.Time {
	freeze := nextOf(c.freezes, now)
	within := func(t time.Time) bool { return !t.IsZero() && t.Sub(now) <= Horizon }
	if len(c.windows) > 0 {
		t := now
		for range maxSteps {
			end, _ := c.open(t)
			if end.IsZero() {
				if !freeze.IsZero() && freeze.Before(t) {
					t = freeze
				}
				return t
			}
			if t = end; !within(t) || !freeze.IsZero() && freeze.Before(t) {
				break
			}
		}
	}
	if within(freeze) {
		return freeze
	}
	return time.Time{}
}

// open is the latest end of the windows that a moment is in; zero if in none.
func (c Calendar) open(t time.Time) (end time.Time, by *Window) { return latest(c.windows, t) }

// frozen is the same of the freezes.
func (c Calendar) frozen(t time.Time) (end time.Time, by *Window) { return latest(c.freezes, t) }

func latest(list []Window, t time.Time) (end time.Time, by *Window) {
	for i, w := range list {
		if e, ok := w.last(t); ok && e.After(end) {
			end, by = e, &list[i]
		}
	}
	return end, by
}

// nextOf is the first beginning after a moment; zero if there is none.
func nextOf(list []Window, t time.Time) (first time.Time) {
	for _, w := range list {
		if n := w.next(t); !n.IsZero() && (first.IsZero() || n.Before(first)) {
			first = n
		}
	}
	return first
}
