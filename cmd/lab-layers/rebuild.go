package main

import (
	"errors"
	"time"

	"github.com/lab-layers/lab-layers/agent/schedule"
)

// rebuildTimes are when everything is built anew, as a cron expression; empty is
// never.
type rebuildTimes struct {
	expression string
	times      schedule.Times // once parsed
}

func (r *rebuildTimes) parse() (err error) {
	if r.expression == "" {
		return nil
	}
	if r.times, err = schedule.Parse(r.expression); err != nil {
		return err
	}
	if !r.times.Fixed() {
		return errors.New("@every counts from the start of the agent, and each start would build everything anew: name times of the calendar, such as 0 3 * * 0 or @weekly")
	}
	return nil
}

// salt is the last of the times; all who have the same times agree on it. Empty
// if there was none.
func (r rebuildTimes) salt(now time.Time) string {
	last := r.times.Last(now)
	if last.IsZero() {
		return ""
	}
	return last.UTC().Format(time.RFC3339)
}
