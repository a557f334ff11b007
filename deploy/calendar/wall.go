package calendar

import "time"

// wall is what clocks on the wall show at t, as if in UTC.
func wall(t time.Time, zone *time.Location) time.Time {
	return t.UTC().Add(offset(t, zone))
}

// instants are when clocks on the wall show a time. Where it comes twice they
// are two; where it is skipped it counts by the offset before.
func instants(at time.Time, zone *time.Location) (first, second time.Time) {
	before, after := at.Add(-offset(at.Add(-24*time.Hour), zone)), at.Add(-offset(at.Add(24*time.Hour), zone))
	isBefore, isAfter := wall(before, zone).Equal(at), wall(after, zone).Equal(at)
	switch {
	case isBefore && isAfter:
		return before, after
	case isAfter:
		return after, after
	}
	return before, before
}

func offset(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
