package calendar

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// length is days by the calendar, and a time after them.
type length struct {
	days int
	rest time.Duration
}

// maxDays bounds a length, and with it what is looked through for it.
const maxDays = 100

var lengthPattern = regexp.MustCompile(`^(?:(\d{1,3})d)?(.*)$`)

func parseLength(text string) (l length, err error) {
	match := lengthPattern.FindStringSubmatch(text)
	if match == nil || text == "" {
		return length{}, fmt.Errorf("%.40q is no length", text)
	}
	if match[1] != "" {
		if l.days, err = strconv.Atoi(match[1]); err != nil {
			return length{}, fmt.Errorf("%.40q is no length", text)
		}
	}
	if match[2] != "" {
		if l.rest, err = time.ParseDuration(match[2]); err != nil {
			return length{}, fmt.Errorf("%.40q is no length such as 3h, 90m or 1d12h", text)
		}
	}
	if l.rest < 0 || l.most() < time.Minute || l.days > maxDays || l.most() > maxDays*24*time.Hour {
		return length{}, fmt.Errorf("%.40q is not between a minute and %d days", text, maxDays)
	}
	return l, nil
}

// most is as long as it may take, but for what clocks are put back.
func (l length) most() time.Duration { return time.Duration(l.days)*24*time.Hour + l.rest }

// after is the end of what begins at start.
func (l length) after(start time.Time, zone *time.Location) time.Time {
	if l.days > 0 {
		start, _ = instants(wall(start, zone).AddDate(0, 0, l.days), zone)
	}
	return start.Add(l.rest)
}
