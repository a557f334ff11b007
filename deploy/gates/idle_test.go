package gates

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gpu"
)

// probed is a node whose probe told a minute before noon.
func probed(name string, annotations ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
		gpu.ReportAnnotation: `{"gpus":[{"product":"NVIDIA RTX A6000","uuid":"1"}]}`, gpu.SeenAnnotation: noon.Add(-time.Minute).Format(time.RFC3339),
	}}}
	for i := 0; i < len(annotations); i += 2 {
		n.Annotations[annotations[i]] = annotations[i+1]
	}
	return n
}

func TestIdle(t *testing.T) {
	idle := func(name string, ago time.Duration) *corev1.Node {
		return probed(name, gpu.IdleAnnotation, noon.Add(-ago).Format(time.RFC3339))
	}
	long, moment := idle("gpu-1", time.Hour), idle("gpu-2", 5*time.Minute)
	busy := probed("gpu-3", gpu.BusyAnnotation, "87 %, 2 processes")
	bare, none := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cpu-1"}}, probed("cpu-2", gpu.ReportAnnotation, "{}")
	const waits = "waits until idle for 15m; "
	for _, test := range []struct {
		name        string
		annotations []string
		running     []*corev1.Node
		answer      deploy.Answer
		reason      string
		until       time.Time
	}{
		{"does not ask", nil, []*corev1.Node{busy}, deploy.Allow, "", time.Time{}},
		{"runs nowhere", []string{IdleAnnotation, "15m"}, nil, deploy.Allow, "", time.Time{}},
		{"idle", []string{IdleAnnotation, "15m"}, []*corev1.Node{long, none}, deploy.Allow, "", time.Time{}},
		{"busy", []string{IdleAnnotation, "15m"}, []*corev1.Node{bare, long, moment, busy}, deploy.Refuse, waits + "node gpu-3 busy (87 %, 2 processes)", noon.Add(10 * time.Minute)},
		{"idle for a moment", []string{IdleAnnotation, "15m"}, []*corev1.Node{bare, long, moment}, deploy.Refuse, waits + "node gpu-2 idle since 11:55 UTC", noon.Add(10 * time.Minute)},
		{"a node does not tell", []string{IdleAnnotation, "15m"}, []*corev1.Node{bare, long}, deploy.Refuse, waits + "node cpu-1 does not tell: run lab-layers node-probe there", time.Time{}},
		{"that is let be", []string{IdleAnnotation, "15m", IdleUnknownAnnotation, "roll"}, []*corev1.Node{bare, long}, deploy.Unknown, "whether it is idle is not known: node cpu-1 does not tell: run lab-layers node-probe there", time.Time{}},
		{"not for ever", []string{IdleAnnotation, "1h", IdleLatestAnnotation, "24h"}, []*corev1.Node{busy}, deploy.Refuse, "waits until idle for 1h; node gpu-3 busy (87 %, 2 processes); rolls at the latest Tue 2026-11-24 12:05 UTC", noon.Add(5 * time.Minute)},
		{"too long", []string{IdleAnnotation, "1h30m", IdleLatestAnnotation, "23h"}, []*corev1.Node{busy}, deploy.Warn, "its time is up before it was idle for 1h30m0s; node gpu-3 busy (87 %, 2 processes)", time.Time{}},
		{"in a window", []string{IdleAnnotation, "15m", IdleLatestAnnotation, "window", WindowAnnotation, "0 11 * * * for 2h"}, []*corev1.Node{busy}, deploy.Refuse, waits + "node gpu-3 busy (87 %, 2 processes); rolls at the latest Tue 2026-11-24 12:55 UTC", noon.Add(10 * time.Minute)},
		{"at a window's end", []string{IdleAnnotation, "15m", IdleLatestAnnotation, "window", WindowAnnotation, "3 11 * * * for 1h"}, []*corev1.Node{busy}, deploy.Warn, "its time is up before it was idle for 15m; node gpu-3 busy (87 %, 2 processes)", time.Time{}},
		{"no time", []string{IdleAnnotation, "soon"}, nil, deploy.Refuse, `lab-layers.dev/when-idle is "soon": write for how long, such as 15m`, time.Time{}},
		{"no latest time", []string{IdleAnnotation, "15m", IdleLatestAnnotation, "never"}, nil, deploy.Refuse, `lab-layers.dev/when-idle-latest is "never": write how long it waits at the most, such as 48h, or window`, time.Time{}},
		{"no policy", []string{IdleAnnotation, "15m", IdleUnknownAnnotation, "hope"}, nil, deploy.Refuse, `lab-layers.dev/when-idle-unknown is "hope": take wait or roll`, time.Time{}},
	} {
		c := candidate("1", test.annotations...)
		c.Running, c.Queued = test.running, noon.Add(-24*time.Hour+5*time.Minute)
		v := Idle{at(noon)}.Check(t.Context(), c, nil)
		if v.Answer != test.answer || v.Reason != test.reason || !v.Until.Equal(test.until) {
			t.Errorf("%s: %s: %s, until %s", test.name, v.Answer, v.Reason, v.Until)
		}
	}
	for policy, want := range map[string]deploy.Verdict{
		"wait": {Answer: deploy.Refuse, Reason: waits + "nodes cannot be seen: the role lacks list on nodes"},
		"roll": {Answer: deploy.Unknown, Reason: "whether it is idle is not known: nodes cannot be seen: the role lacks list on nodes"},
	} {
		if v := (Idle{at(noon)}).Check(t.Context(), unseen(candidate("1", IdleAnnotation, "15m", IdleUnknownAnnotation, policy)), nil); v != want {
			t.Errorf("%s where nodes are unseen: %+v", policy, v)
		}
	}
}

func TestWhenIdle(t *testing.T) {
	for want, annotations := range map[string]map[string]string{
		"":                  {IdleLatestAnnotation: "48h"},
		"when idle for 15m": {IdleAnnotation: "15m"},
		"when idle for 1h30m0s, after 48h at the latest":       {IdleAnnotation: "90m", IdleLatestAnnotation: "48h"},
		"when idle for 1h, as its window closes at the latest": {IdleAnnotation: "1h", IdleLatestAnnotation: "window", WindowAnnotation: "0 2 * * * for 3h"},
	} {
		if got := WhenIdle(annotations); got != want {
			t.Errorf("%v: %q, want %q", annotations, got, want)
		}
	}
}
