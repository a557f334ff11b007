package gpu

import (
	"testing"
	"time"
)

func TestActivity(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) string { return now.Add(-ago).Format(time.RFC3339) }
	const one = `{"gpus":[{"product":"T4","uuid":"1"}]}`
	for name, test := range map[string]struct {
		annotations map[string]string
		want        Activity
	}{
		"no probe":       {nil, Activity{Unknown: "does not tell: run lab-layers node-probe there"}},
		"idle":           {map[string]string{ReportAnnotation: one, SeenAnnotation: at(time.Minute), IdleAnnotation: at(time.Hour)}, Activity{IdleSince: now.Add(-time.Hour)}},
		"busy":           {map[string]string{ReportAnnotation: one, SeenAnnotation: at(time.Minute), BusyAnnotation: "1 process"}, Activity{Busy: "1 process"}},
		"neither":        {map[string]string{ReportAnnotation: one, SeenAnnotation: at(time.Minute)}, Activity{Unknown: "has a driver that does not tell"}},
		"no GPU":         {map[string]string{ReportAnnotation: "{}", SeenAnnotation: at(time.Minute)}, Activity{None: true}},
		"a fault":        {map[string]string{ReportAnnotation: `{"fault":"no driver"}`, SeenAnnotation: at(time.Minute)}, Activity{Unknown: "says: no driver"}},
		"a silent probe": {map[string]string{ReportAnnotation: one, SeenAnnotation: at(time.Hour), IdleAnnotation: at(2 * time.Hour)}, Activity{IdleSince: now.Add(-2 * time.Hour), Unknown: "has not told since 2026-11-24 11:00 UTC: see to lab-layers node-probe there"}},
		"nonsense":       {map[string]string{ReportAnnotation: "no"}, Activity{Unknown: "annotation lab-layers.dev/gpus cannot be read: invalid character 'o' in literal null (expecting 'u')"}},
	} {
		got := ReadActivity(test.annotations, now)
		got.Silent = time.Time{}
		if got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestBusy(t *testing.T) {
	for _, test := range []struct {
		use  []Use
		want string
	}{
		{nil, ""},
		{[]Use{{}}, ""},
		{[]Use{{Processes: 2, Percent: 12}, {Percent: 87}}, "87 %, 2 processes"},
		{[]Use{{Processes: 1, Percent: -1}}, "1 process"},
		{[]Use{{Processes: -1, Percent: 5}}, "5 %, 0 processes"},
		{[]Use{{Processes: -1, Percent: -1}}, ""},
	} {
		var r Report
		for _, u := range test.use {
			r.GPUs = append(r.GPUs, Device{Use: u})
		}
		if got := r.Busy(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.use, got, test.want)
		}
	}
}
