package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

// noon is a moment outside of the night's window.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func (l *lab) outlook(client kubernetes.Interface) *deploy.Outlook {
	now := func() time.Time { return noon }
	return &deploy.Outlook{
		Client: client, Repositories: map[string]string{"": labURL}, Registry: registry, Namespaces: []string{l.ns},
		Times: gates.Calendar{Now: now}, Fit: &gates.Driver{Images: l.store, Now: now}, Settings: gates.Settings{}, Idle: gates.WhenIdle, Records: l.store, Now: now,
	}
}

// told writes an outlook in lines, without the namespace.
func told(ns string, all []deploy.Touched) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s %v %d", strings.TrimPrefix(t.Environment.String(), ns+"/"), t.Layers, t.GPUs)
		for _, text := range []string{string(t.Verdict), t.Reason, t.Waits, t.Rolls()} {
			if text != "" {
				b.WriteString(" | " + text)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestOutlook asks what a merge would roll before the images are there, and
// again once they are, of nodes with drivers old and new.
func TestOutlook(t *testing.T) {
	l := newLab(t)
	gpu := func(driver, cuda string) clustertest.GPU {
		return clustertest.GPU{Product: "NVIDIA-RTX-A6000", Count: 8, MemoryMiB: 49140, Compute: "8.6", Driver: driver, CUDA: cuda}
	}
	silent := clustertest.Node{Name: "outlook-silent", GPU: gpu("580.95.05", "13.0"), Labels: map[string]string{"room": "silent"}}
	for _, part := range []string{"major", "minor", "revision", "full"} {
		silent.Labels["nvidia.com/cuda.driver-version."+part], silent.Labels["nvidia.com/cuda.runtime-version."+part] = "", ""
	}
	l.AddNode(t, silent)
	l.AddNode(t, clustertest.Node{Name: "outlook-old", GPU: gpu("550.54.14", "12.4"), Labels: map[string]string{"room": "old"}})
	l.AddNode(t, clustertest.Node{Name: "outlook-new", GPU: gpu("580.95.05", "13.0"), Labels: map[string]string{"room": "new"}})
	wheel := "wheel: torch-2.9.0+cu130"
	l.Found = map[string]pipeline.Metadata{runs(2): {
		CUDA:   &pipeline.Finding{Name: "cuda", Version: "13.0", Evidence: wheel},
		GPU:    pipeline.Finding{Name: pipeline.GPURequired, Evidence: wheel},
		Driver: &pipeline.Finding{Name: "driver", Version: "580.65.06", Evidence: wheel},
	}}
	in := func(room string, w workload, annotations ...string) workload {
		w.layer, w.image, w.room = "torch", "registry.example/lab/torch:old", room
		w.annotations = map[string]string{}
		for pair := range slices.Chunk(annotations, 2) {
			w.annotations[pair[0]] = pair[1]
		}
		return w
	}
	l.deployment(in("old", workload{name: "class", replicas: 3, gpus: 4}, gates.WindowAnnotation, "0 2 * * * for 3h", gates.IdleAnnotation, "15m"))
	l.deployment(in("old", workload{name: "lenient", replicas: 1, gpus: 1}, gates.PolicyAnnotation, "warn", gates.IdleAnnotation, "30m"))
	l.deployment(in("old", workload{name: "broken", replicas: 1, gpus: 1}, gates.PolicyAnnotation, "lax"))
	l.statefulSet(in("new", workload{name: "hub", replicas: 2, gpus: 1}), appsv1.RollingUpdateStatefulSetStrategyType)
	l.cronJob(in("silent", workload{name: "grader", gpus: 1}))
	l.deployment(in("", workload{name: "reader", replicas: 5}))
	pinned := l.deployment(in("new", workload{name: "exam", replicas: 1, gpus: 1}))
	l.deployment(in("old", workload{name: "released", gpus: 1, replicas: 1}, deploy.TrackAnnotation, "v*"))
	l.deployment(in("old", workload{name: "elsewhere", gpus: 1, replicas: 1}, deploy.RepositoryAnnotation, "vision"))
	other := in("old", workload{name: "other", gpus: 1, replicas: 1})
	other.layer = "unet"
	l.deployment(other)

	ctx := t.Context()
	l.start(l.engine())
	l.await(pinned, deploy.Waiting, "")
	l.check(l.store.Pin(ctx, deploy.Pin{Environment: pinned, Repository: labURL, Images: deploy.Images{"main": "registry.example/lab/torch:old"}, By: "anna"}))

	o := l.outlook(l.Client)
	merge := deploy.Merge{Repository: labURL, Into: mainRef, Images: map[layers.Name]string{"torch": "", "tensorflow": ""}}
	ask := func(want string) {
		t.Helper()
		clustertest.Await(t, "the outlook", func(context.Context) error { // the API server's cache comes after
			all, err := o.Touched(ctx, merge)
			if got := told(l.ns, all); err != nil || got != want {
				return fmt.Errorf("it is\n%s, %w; want\n%s", got, err, want)
			}
			return nil
		})
	}
	const closed = "outside its window (0 2 * * * for 3h); opens Tue 2026-03-03 02:00 UTC"
	const fault = `lab-layers.dev/driver-policy is "lax": take strict, refuse, warn or ignore`
	const broken = "faulty: " + fault + " | faulty: " + fault + "\n"
	ask("cronjob/grader [torch] 1\n" +
		"deployment/broken [torch] 1 | " + broken +
		"deployment/class [torch] 12 | " + closed + " | Tue 2026-03-03 02:00 UTC, outside its window (0 2 * * * for 3h), then when idle for 15m\n" +
		"deployment/exam [torch] 1 | pinned by anna | pinned by anna\n" +
		"deployment/lenient [torch] 1 | when idle for 30m\n" +
		"deployment/reader [torch] 0\n" +
		"statefulset/hub [torch] 2\n")
	l.Release("refs/heads/feature", map[layers.Name]string{"torch": runs(2)})
	merge.Images["torch"] = "torch@" + runs(2)
	const needs = "torch: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); "
	const refused = needs + "node outlook-old has 550.54.14; pin cu126 or upgrade"
	const fits = needs + "node outlook-new will do"
	ask("deployment/broken [torch] 1 | refuse | " + fault + " | " + broken +
		"deployment/class [torch] 12 | refuse | " + refused + " | " + closed + " | held\n" +
		"cronjob/grader [torch] 1 | unknown | " + needs + "node outlook-silent tells no driver; run GPU Feature Discovery or lab-layers node-probe there\n" +
		"deployment/lenient [torch] 1 | warn | " + refused + " | when idle for 30m\n" +
		"deployment/exam [torch] 1 | allow | " + fits + " | pinned by anna | pinned by anna\n" +
		"deployment/reader [torch] 0 | allow\n" +
		"statefulset/hub [torch] 2 | allow | " + fits + "\n")

	away, err := kubernetes.NewForConfig(&rest.Config{Host: "https://127.0.0.1:1"})
	l.check(err)
	o = l.outlook(away)
	for range 2 {
		all, err := o.Touched(ctx, merge)
		if err == nil || all != nil {
			t.Fatalf("of a cluster that is away: %v", all)
		}
		has(t, err.Error(), "ask the cluster", "connection refused")
	}
}
