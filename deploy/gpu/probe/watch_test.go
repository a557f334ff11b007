package probe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lab-layers/lab-layers/deploy/gpu"
	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

func a6000(use gpu.Use) gpu.Report {
	driver, _ := cuda.ParseDriver("550.54.14")
	return gpu.Report{Driver: driver, CUDA: cuda.Version{Major: 12, Minor: 4}, GPUs: []gpu.Device{
		{Product: "NVIDIA RTX A6000", UUID: "GPU-1", Brand: "nvidiartx", MemoryMiB: 49140, Capability: cuda.Capability{Major: 8, Minor: 6}, Use: use},
		{Product: "Tesla T4", UUID: "GPU-2", Brand: "tesla", MemoryMiB: 15360, Capability: cuda.Capability{Major: 7, Minor: 5}},
	}}
}

// pinboard keeps what it is told, or refuses it.
type pinboard struct {
	since, seen time.Time

	mu    sync.Mutex
	notes []Told
	err   error
}

func (p *pinboard) Idle(context.Context) (since, seen time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.seen, p.err
}

func (p *pinboard) Tell(_ context.Context, t Told) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.notes = append(p.notes, t)
	}
	return p.err
}

func (p *pinboard) told() []Told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.notes)
}

func (p *pinboard) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// machine has a driver whose report may change.
type machine struct{ report atomic.Pointer[gpu.Report] }

func (m *machine) set(r gpu.Report) { m.report.Store(&r) }

// watched looks at a machine until it is stopped, in a bubble.
func watched(p *pinboard, report gpu.Report) (m *machine, log *lines, stop func()) {
	m, log = &machine{}, &lines{}
	m.set(report)
	w := &Watch{
		Read: func(t time.Time) gpu.Report {
			r := *m.report.Load()
			r.Measured = t
			return r
		},
		Board: p, Metrics: NewMetrics(), Interval: 15 * time.Second,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	go w.Run(ctx)
	return m, log, cancel
}

// lines are those of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestTellsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		busy, still := a6000(gpu.Use{Processes: 1, Percent: 80}), a6000(gpu.Use{})
		p := &pinboard{}
		m, _, stop := watched(p, busy)
		defer stop()
		time.Sleep(time.Minute + time.Second)
		if len(p.told()) != 1 || !p.told()[0].IdleSince.IsZero() || p.told()[0].Report.GPUs[0].Use != (gpu.Use{}) {
			t.Fatalf("at first: %+v", p.told())
		}
		m.set(a6000(gpu.Use{Processes: 1, Percent: 12})) // of which nobody need know
		time.Sleep(time.Minute)
		if len(p.told()) != 1 {
			t.Errorf("utilisation alone was told: %+v", p.told()[1:])
		}
		m.set(still)
		time.Sleep(time.Minute)
		since := begun.Add(2*time.Minute + 15*time.Second)
		if len(p.told()) != 2 || !p.told()[1].IdleSince.Equal(since) {
			t.Fatalf("idle: %+v, want since %s", p.told()[1:], since)
		}
		time.Sleep(3 * heartbeat)
		if len(p.told()) != 5 || !p.told()[4].IdleSince.Equal(since) {
			t.Errorf("%d times in a quarter of an hour in which nothing changed, idle since %s", len(p.told())-2, p.told()[len(p.told())-1].IdleSince)
		}
		m.set(gpu.Report{Fault: "the NVIDIA driver is not loaded"})
		time.Sleep(30 * time.Second)
		last := p.told()[len(p.told())-1]
		if last.Report.Fault == "" || !last.IdleSince.IsZero() {
			t.Errorf("without a driver: %+v", last)
		}
	})
}

func TestTellsAgainWhatWasNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinboard{err: errors.New("nodes \"gpu-1\" is forbidden")}
		_, log, stop := watched(p, a6000(gpu.Use{}))
		defer stop()
		begun := time.Now()
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "is forbidden"); n != 1 {
			t.Errorf("%d log lines of one fault", n)
		}
		p.refuse(nil)
		time.Sleep(16 * time.Second)
		if len(p.told()) != 1 || !p.told()[0].IdleSince.Equal(begun) {
			t.Errorf("%+v", p.told())
		}
	})
}

// A probe that is replaced goes on with what the one before wrote, if that is
// not old.
func TestKeepsIdleSince(t *testing.T) {
	for name, test := range map[string]struct {
		seen time.Duration // ago
		kept bool
	}{"fresh": {time.Minute, true}, "old": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				since := now.Add(-3 * time.Hour)
				p := &pinboard{since: since, seen: now.Add(-test.seen)}
				_, _, stop := watched(p, a6000(gpu.Use{}))
				defer stop()
				time.Sleep(time.Second)
				if got := p.told()[0].IdleSince; got.Equal(since) != test.kept {
					t.Errorf("idle since %s", got)
				}
			})
		})
	}
}

func TestLabels(t *testing.T) {
	got := labels(a6000(gpu.Use{}))
	want := map[string]string{
		gpu.DriverLabel: "550.54.14", gpu.BranchLabel: "550", gpu.CUDALabel: "12.4", gpu.CountLabel: "2",
		gpu.ProductLabel: "Tesla-T4", gpu.CapabilityLabel: "7.5", gpu.MemoryLabel: "15360",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("labels: %v", got)
	}
	if got := labels(gpu.Report{Fault: "none"}); len(got) != 1 || got[gpu.CountLabel] != "0" {
		t.Errorf("without a driver: %v", got)
	}
	for _, text := range []string{"NVIDIA RTX 6000 Ada Generation", "-x-", strings.Repeat("ü ", 100), "a/b@c", "...", ""} {
		if value := labelValue(text); len(validation.IsValidLabelValue(value)) > 0 {
			t.Errorf("%q becomes %q", text, value)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	r := a6000(gpu.Use{Processes: 2, Percent: 50, UsedMemoryMiB: 1024})
	r.GPUs[1].Use, r.GPUs[1].MIG = gpu.Use{Processes: -1, Percent: -1}, true
	m.set(r, time.Unix(1790000000, 0))
	scrape := func() string {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text, _ := io.ReadAll(w.Body)
		return string(text)
	}
	text := scrape()
	for _, line := range []string{
		"lab_layers_node_driver_up 1", `lab_layers_node_driver_info{cuda="12.4",driver="550.54.14"} 1`, "lab_layers_node_gpus_lost 0",
		"lab_layers_node_gpus_idle_since_timestamp_seconds 1.79e+09",
		`lab_layers_gpu_info{capability="8.6",mig="off",product="NVIDIA RTX A6000",uuid="GPU-1"} 1`,
		`lab_layers_gpu_info{capability="7.5",mig="on",product="Tesla T4",uuid="GPU-2"} 1`,
		`lab_layers_gpu_memory_used_bytes{uuid="GPU-1"} 1.073741824e+09`, `lab_layers_gpu_processes{uuid="GPU-1"} 2`, `lab_layers_gpu_utilisation_ratio{uuid="GPU-1"} 0.5`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
	for _, absent := range []string{`lab_layers_gpu_processes{uuid="GPU-2"}`, `lab_layers_gpu_utilisation_ratio{uuid="GPU-2"}`} {
		if strings.Contains(text, absent) {
			t.Errorf("%s is there", absent)
		}
	}
	m.set(gpu.Report{Fault: "none"}, time.Time{})
	if text := scrape(); !strings.Contains(text, "lab_layers_node_driver_up 0\n") || strings.Contains(text, "idle_since") {
		t.Errorf("without a driver:\n%s", text)
	}
}
