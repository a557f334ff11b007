package calendar

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Window is a stretch of time that comes again and again.
type Window struct {
	text   string
	begins cron.SpecSchedule // in wall clock time, which is taken for UTC here
	zone   *time.Location
	length length
}

// starBit marks a field that was written as *: see cron.SpecSchedule.
const starBit = 1 << 63

// ParseWindow reads a cron expression of five fields, or a word such as @daily,
// with CRON_TZ=ZONE before it if it is not in UTC, and a length after it:
//
//	CRON_TZ=Europe/Vienna 0 2 * * * for 3h
//
// It may begin once an hour at the most. The length is of days and hours, such
// as 1d12h, up to 100 days.
func ParseWindow(text string) (Window, error) {
	text = strings.Join(strings.Fields(text), " ")
	w, err := parse(text)
	if err != nil {
		return Window{}, fmt.Errorf("%.120q: %w; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h", text, err)
	}
	return w, nil
}

func parse(text string) (Window, error) {
	expression, lasts, ok := strings.Cut(text, " for ")
	if !ok {
		return Window{}, errors.New("it does not say for how long")
	}
	w := Window{text: text, zone: time.UTC}
	var err error
	if w.length, err = parseLength(lasts); err != nil {
		return Window{}, err
	}
	if strings.HasPrefix(expression, "CRON_TZ=") || strings.HasPrefix(expression, "TZ=") {
		zone, rest, _ := strings.Cut(expression, " ")
		_, name, _ := strings.Cut(zone, "=")
		if w.zone, err = zoneOf(name); err != nil {
			return Window{}, err
		}
		expression = rest
	}
	if strings.Contains(expression, "TZ=") {
		return Window{}, errors.New("one time zone is enough")
	}
	times, err := cron.ParseStandard(expression)
	if err != nil {
		return Window{}, fmt.Errorf("%.80q is no cron expression of five fields: %w", expression, err)
	}
	spec, ok := times.(*cron.SpecSchedule)
	if !ok {
		return Window{}, fmt.Errorf("%.80q has no fixed times", expression)
	}
	w.begins = *spec
	w.begins.Location = time.UTC
	if bits.OnesCount64(w.begins.Minute&^starBit) != 1 {
		return Window{}, errors.New("it begins more than once an hour")
	}
	// Five years from a leap year on: what does not come in them never does.
	if w.begins.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Window{}, errors.New("there is no such day")
	}
	return w, nil
}

func zoneOf(name string) (*time.Location, error) {
	// "" is UTC and Local whatever the machine has, neither of which was meant.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%.40q is no time zone", name)
	}
	return zone, nil
}

// String is the window as it was written.
func (w Window) String() string { return w.text }

// hourly reports whether it is for every hour.
func (w Window) hourly() bool { return w.begins.Hour&starBit != 0 }

// slack is more than any clock is put forward or back.
const slack = 3 * time.Hour

// last is the end of the latest stretch that has begun by t; ok if t is in it.
func (w Window) last(t time.Time) (end time.Time, ok bool) {
	now := wall(t, w.zone)
	for at := w.begins.Next(now.Add(-w.length.most() - slack)); !at.IsZero() && at.Before(now.Add(slack)); at = w.begins.Next(at) {
		for _, start := range w.instants(at) {
			if e := w.length.after(start, w.zone); !start.After(t) && e.After(end) {
				end = e
			}
		}
	}
	return end, end.After(t)
}

// next is the first beginning after t; zero if there is none for years.
func (w Window) next(t time.Time) (first time.Time) {
	now := wall(t, w.zone)
	var until time.Time
	for at := w.begins.Next(now.Add(-slack)); !at.IsZero() && (first.IsZero() || at.Before(until)); at = w.begins.Next(at) {
		for _, start := range w.instants(at) {
			if start.After(t) && (first.IsZero() || start.Before(first)) {
				first, until = start, at.Add(slack)
			}
		}
	}
	return first
}

// instants are when it begins that does so at a wall clock time.
func (w Window) instants(at time.Time) []time.Time {
	first, second := instants(at, w.zone)
	if w.hourly() && !second.Equal(first) {
		return []time.Time{first, second}
	}
	return []time.Time{first}
}
