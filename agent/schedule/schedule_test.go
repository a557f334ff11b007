package schedule

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // whatever zones the machine has
)

func TestParse(t *testing.T) {
	from := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for expression, want := range map[string]string{
		"CRON_TZ=Europe/Vienna 0 3 * * *": "2026-07-02T01:00:00Z",
		"TZ=UTC 0 3 * * *":                "2026-07-02T03:00:00Z",
		"CRON_TZ=UTC 30 4 * * 0":          "2026-07-05T04:30:00Z",
		"CRON_TZ=Asia/Tokyo @daily":       "2026-07-01T15:00:00Z",
		"@every 6h":                       "2026-07-01T18:00:00Z",
	} {
		times, err := Parse(expression)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := times.times.Next(from).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%s: next at %s, not %s", expression, got, want)
		}
	}
	for _, expression := range []string{
		"", "0 3 * *", "0 3 * * * *", "61 3 * * *", "every night", "@every", "@every 0.1s x",
		"CRON_TZ=Europe/Vienna", "CRON_TZ= ", "CRON_TZ=Nowhere/Land 0 3 * * *", "TZ=0",
	} {
		if _, err := Parse(expression); err == nil {
			t.Errorf("%q was taken", expression)
		} else if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `"`+expression+`"`) {
			t.Errorf("%q: %v", expression, err)
		}
	}
}

func TestLast(t *testing.T) {
	for _, c := range []struct{ expression, now, want string }{
		{"CRON_TZ=UTC 0 3 * * *", "2026-11-24T02:59:59Z", "2026-11-23T03:00:00Z"},
		{"CRON_TZ=UTC 0 3 * * *", "2026-11-24T03:00:00Z", "2026-11-24T03:00:00Z"},
		{"CRON_TZ=UTC 0 3 * * *", "2026-11-24T03:00:00.7Z", "2026-11-24T03:00:00Z"},
		{"CRON_TZ=UTC 0 3 * * *", "2026-11-24T05:30:00+02:00", "2026-11-24T03:00:00Z"},
		{"CRON_TZ=UTC * * * * *", "2026-11-24T12:34:56Z", "2026-11-24T12:34:00Z"},
		{"CRON_TZ=UTC @weekly", "2026-11-24T12:00:00Z", "2026-11-22T00:00:00Z"},
		{"CRON_TZ=Europe/Vienna 0 3 * * 0", "2026-11-24T12:00:00Z", "2026-11-22T02:00:00Z"},
		{"CRON_TZ=Europe/Vienna 30 2 * * *", "2026-03-29T12:00:00Z", "2026-03-28T01:30:00Z"}, // no such hour in spring
		{"CRON_TZ=UTC 0 0 29 2 *", "2026-11-24T12:00:00Z", "2024-02-29T00:00:00Z"},
		{"CRON_TZ=UTC 0 0 30 2 *", "2026-11-24T12:00:00Z", ""},
		{"@every 6h", "2026-11-24T12:00:00Z", ""},
	} {
		times, err := Parse(c.expression)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if last := times.Last(now); !last.IsZero() {
			got = last.UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%s at %s: last %q, want %q", c.expression, c.now, got, c.want)
		}
	}
	if last := (Times{}).Last(time.Now()); !last.IsZero() {
		t.Errorf("never was last at %s", last)
	}
}

// TestRun lets a day pass, by a clock that does not take one.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now().UTC().Truncate(24 * time.Hour)
		var quick []time.Duration
		slow := 0
		entry := func(name, expression string, do func(context.Context) error) Entry {
			when, err := Parse(expression)
			if err != nil {
				t.Fatal(err)
			}
			return Entry{Name: name, When: when, Do: do}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Run(ctx, slog.New(slog.NewTextHandler(&log, nil)),
				entry("quick", "TZ=UTC 30 */8 * * *", func(context.Context) error {
					quick = append(quick, time.Now().UTC().Sub(began))
					return errors.New("no luck")
				}),
				entry("slow", "TZ=UTC 0 * * * *", func(ctx context.Context) error {
					slow++
					<-ctx.Done()
					return ctx.Err()
				}),
				Entry{Name: "never", Do: func(context.Context) error { panic("it has no times") }},
			)
		}()
		time.Sleep(23*time.Hour + 59*time.Minute)
		synctest.Wait()
		stop()
		<-done
		if len(quick) != 3 || quick[0] != 30*time.Minute || quick[2] != 16*time.Hour+30*time.Minute {
			t.Errorf("done at %v", quick)
		}
		if slow != 1 {
			t.Errorf("%d rounds at once", slow)
		}
		for text, want := range map[string]int{
			"skipped: the last round still goes on\" schedule=slow": 22,
			"was stopped\" schedule=slow":                           1, `failed; the next one tries again" schedule=quick error="no luck"`: 3,
		} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%q is %d times in the log, not %d", text, got, want)
			}
		}
	})
}
