package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // whatever zones the machine has
)

const night = "CRON_TZ=Europe/Vienna 0 2 * * * for 3h"

// stretches lists when a calendar is open between two days, in UTC.
func stretches(t *testing.T, c Calendar, from, to time.Time) string {
	t.Helper()
	var all []string
	at := from
	for at.Before(to) {
		s := c.At(at)
		until := s.Until
		if until.IsZero() || until.After(to) {
			until = to
		}
		if !until.After(at) {
			t.Fatalf("at %s it says until %s", at, s.Until)
		}
		if s.Open {
			all = append(all, at.UTC().Format("02 15:04")+"-"+until.UTC().Format("15:04"))
		}
		at = until
	}
	return strings.Join(all, ", ")
}

func TestDaylightSaving(t *testing.T) {
	for _, test := range []struct {
		name, windows, freezes, from, to, want string
	}{
		// Vienna goes from UTC+1 to UTC+2 on 28 March 2027 at 01:00 UTC, and back on
		// 25 October 2026 at 01:00 UTC.
		{"the night before, the night of, the night after the change to summer", night, "", "2027-03-26T12:00:00Z", "2027-03-29T12:00:00Z",
			"27 01:00-04:00, 28 01:00-04:00, 29 00:00-03:00"}, // 02:00 is 03:00 then, and stays 3 hours
		{"a skipped beginning is later, not lost", "CRON_TZ=Europe/Vienna 30 2 * * * for 30m", "", "2027-03-26T12:00:00Z", "2027-03-29T12:00:00Z",
			"27 01:30-02:00, 28 01:30-02:00, 29 00:30-01:00"},
		{"across the change to summer hours are exact", "CRON_TZ=Europe/Vienna 0 22 * * * for 8h", "", "2027-03-27T12:00:00Z", "2027-03-29T12:00:00Z",
			"27 21:00-05:00, 28 20:00-04:00"},
		{"and days are as long as they are", "CRON_TZ=Europe/Vienna 0 12 27 3 * for 1d1h", "", "2027-03-27T00:00:00Z", "2027-03-29T12:00:00Z",
			"27 11:00-11:00"}, // 12:00 to 13:00 the day after, 24 hours
		{"the change to winter", night, "", "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z",
			"24 00:00-03:00, 25 00:00-03:00, 26 01:00-04:00"},
		{"a repeated beginning counts once", "CRON_TZ=Europe/Vienna 30 2 * * * for 15m", "", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z",
			"25 00:30-00:45, 26 01:30-01:45"},
		{"but every hour is every hour", "CRON_TZ=Europe/Vienna 30 * 25 10 * for 15m", "", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z",
			"24 23:30-23:45, 25 00:30-00:45, 25 01:30-01:45, 25 02:30-02:45"},
		{"also where one is skipped", "CRON_TZ=Europe/Vienna 30 * 28 3 * for 15m", "", "2027-03-27T23:00:00Z", "2027-03-28T03:00:00Z",
			"27 23:30-23:45, 28 00:30-00:45, 28 01:30-01:45, 28 02:30-02:45"},
		{"a freeze of the teaching hours", "", "CRON_TZ=Europe/Vienna 0 8 * * 1-5 for 10h", "2026-10-23T00:00:00Z", "2026-10-27T00:00:00Z",
			"23 00:00-06:00, 23 16:00-07:00, 26 17:00-00:00"},
		{"New York to summer", "CRON_TZ=America/New_York 0 2 * * * for 1h", "", "2027-03-13T12:00:00Z", "2027-03-15T12:00:00Z",
			"14 07:00-08:00, 15 06:00-07:00"},
		{"the southern hemisphere, to summer", "CRON_TZ=Australia/Sydney 0 2 * * * for 1h", "", "2026-10-02T18:00:00Z", "2026-10-05T00:00:00Z",
			"03 16:00-17:00, 04 15:00-16:00"},
		{"by half an hour", "CRON_TZ=Australia/Lord_Howe 15 2 * * * for 1h", "", "2026-10-02T18:00:00Z", "2026-10-05T00:00:00Z",
			"03 15:45-16:45, 04 15:15-16:15"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := calendar(t, test.windows, test.freezes)
			if got := stretches(t, c, at(t, test.from), at(t, test.to)); got != test.want {
				t.Errorf("open %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	const exams = "CRON_TZ=Europe/Vienna 0 0 20 12 * for 18d"
	for _, test := range []struct {
		name, windows, freezes, now string
		open                        bool
		reason                      string
	}{
		{"nothing", "", "", "2026-11-24T12:00:00Z", true, "open"},
		{"within", night, "", "2026-11-24T01:00:00Z", true, "open until Tue 2026-11-24 05:00 CET"},
		{"the last moment", night, "", "2026-11-24T03:59:59Z", true, "open until Tue 2026-11-24 05:00 CET"},
		{"over", night, "", "2026-11-24T04:00:00Z", false, "outside its window (" + night + "); opens Wed 2026-11-25 02:00 CET"},
		{"frozen, and no window right after", night, exams, "2026-12-24T12:00:00Z", false, "frozen (" + exams + "); opens Thu 2027-01-07 02:00 CET"},
		{"frozen without windows", "", exams, "2026-12-24T12:00:00Z", false, "frozen (" + exams + "); opens Thu 2027-01-07 00:00 CET"},
		{"a freeze begins within a window", "0 18 19 12 * for 12h", exams, "2026-12-19T20:00:00Z", true, "open until Sat 2026-12-19 23:00 UTC"},
		{"open for long, then frozen", "", exams, "2026-11-24T12:00:00Z", true, "open until Sun 2026-12-20 00:00 CET"},
		{"windows that touch", "0 0 * * * for 12h; 0 12 * * * for 12h", "", "2026-11-24T12:00:00Z", true, "open"},
		{"windows that overlap", "0 1 * * * for 2h; 0 2 * * * for 2h", "", "2026-11-24T01:30:00Z", true, "open until Tue 2026-11-24 04:00 UTC"},
		{"longer than its period", "@daily for 2d", "", "2026-11-24T12:00:00Z", true, "open"},
		{"always frozen", night, "0 * * * * for 1h", "2026-11-24T12:00:00Z", false, "frozen (0 * * * * for 1h); it does not open within 400 days"},
		{"frozen whenever it would open", night, "CRON_TZ=Europe/Vienna 0 1 * * * for 5h", "2026-11-24T12:00:00Z", false, "outside its window (" + night + "); it does not open within 400 days"},
		{"in a leap year", "0 0 29 2 * for 1h", "", "2026-11-24T12:00:00Z", false, "outside its window (0 0 29 2 * for 1h); it does not open within 400 days"},
		{"lines", "\n" + night + "\n\n 0 12 * * 6 for 90m ;", "", "2026-11-27T12:00:00Z", false, "outside its window (" + night + "; 0 12 * * 6 for 90m); opens Sat 2026-11-28 02:00 CET"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := calendar(t, test.windows, test.freezes).At(at(t, test.now))
			if got.Open != test.open || got.Reason != test.reason {
				t.Errorf("%v: %s\nwant %v: %s", got.Open, got.Reason, test.open, test.reason)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for text, says := range map[string]string{
		"0 2 * * *":                                 "for how long",
		"0 2 * * * for":                             "for how long",
		"0 2 * * * for ever":                        `"ever" is no length`,
		"0 2 * * * for 0s":                          "not between",
		"0 2 * * * for -3h":                         "not between",
		"0 2 * * * for 101d":                        "not between",
		"0 2 * * * for 99999999h":                   `"99999999h"`,
		"0 2 * * for 3h":                            "five fields",
		"0 0 2 * * * for 3h":                        "five fields",
		"61 2 * * * for 3h":                         "five fields",
		"*/5 2 * * * for 3h":                        "more than once an hour",
		"@every 6h for 3h":                          "no fixed times",
		"0 0 31 2 * for 3h":                         "no such day",
		"CRON_TZ=Nowhere/Land 0 2 * * * for 3h":     `"Nowhere/Land" is no time zone`,
		"CRON_TZ= 0 2 * * * for 3h":                 "no time zone",
		"CRON_TZ=Local 0 2 * * * for 3h":            "no time zone",
		"CRON_TZ=../../etc/passwd 0 2 * * * for 3h": "no time zone",
		"CRON_TZ=UTC for 3h":                        "",
		"TZ=UTC CRON_TZ=UTC 0 2 * * * for 3h":       "one time zone",
	} {
		_, err := Parse(text, "")
		if err == nil {
			t.Errorf("%q was taken", text)
			continue
		}
		if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "write it such as") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := Parse("x;y", "z")
	if err == nil || strings.Count(err.Error(), "write it such as") != 3 {
		t.Errorf("not every fault is told: %v", err)
	}
	if _, err := Parse(strings.Repeat(night+";", 6), ""); err == nil {
		t.Error("any number is taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(night, "@daily for 1d12h;TZ=UTC 0 0 29 2 * for 1h", int64(1790000000))
	f.Fuzz(func(t *testing.T, windows, freezes string, seconds int64) {
		c, err := Parse(windows, freezes)
		if err == nil {
			follow(t, c, time.Unix(seconds%(1<<33), 0))
		}
	})
}

// FuzzCalendar tries calendars that are sound, around the changes of clocks.
func FuzzCalendar(f *testing.F) {
	f.Add(byte(0), byte(2), byte(30), uint16(180), byte(8), uint16(600), int32(0))
	f.Add(byte(3), byte(24), byte(30), uint16(59), byte(2), uint16(30), int32(3600*4700))
	f.Fuzz(func(t *testing.T, zone, hour, minute byte, minutes uint16, freeze byte, frozen uint16, seconds int32) {
		zones := []string{"Europe/Vienna", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "UTC", "Africa/Casablanca", "Asia/Kathmandu"}
		entry := func(hour byte, minutes uint16) string {
			text := "*"
			if hour%25 < 24 {
				text = fmt.Sprint(hour % 25)
			}
			return fmt.Sprintf("CRON_TZ=%s %d %s * * * for %dm", zones[int(zone)%len(zones)], minute%60, text, minutes%4000+1)
		}
		from := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		follow(t, calendar(t, entry(hour, minutes), entry(freeze, frozen)), from.Add(time.Duration(seconds)*time.Second%(365*24*time.Hour)))
	})
}

// follow holds a calendar to its word: what it says of the future is what is so
// then.
func follow(t *testing.T, c Calendar, now time.Time) {
	s := c.At(now)
	if s.Reason == "" || strings.Contains(s.Reason, "\n") {
		t.Errorf("reason: %q", s.Reason)
	}
	if s.Until.IsZero() {
		return
	}
	if !s.Until.After(now) {
		t.Fatalf("%v at %s: until %s", c, now, s.Until)
	}
	for part := range time.Duration(8) {
		between := now.Add(s.Until.Sub(now) * part / 8)
		if c.At(between).Open != s.Open {
			t.Errorf("%v at %s: another at %s, before %s", c, now, between, s.Until)
		}
	}
	if c.At(s.Until.Add(-time.Nanosecond)).Open != s.Open {
		t.Errorf("%v at %s: changes before %s", c, now, s.Until)
	}
	if c.At(s.Until).Open == s.Open {
		t.Errorf("%v at %s: no change at %s", c, now, s.Until)
	}
}

func calendar(t *testing.T, windows, freezes string) Calendar {
	t.Helper()
	c, err := Parse(windows, freezes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}
