package gates

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // whatever zones the machine has

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/pipeline"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

const image = "registry.example/lab/resnet50@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// candidate is an environment whose pods ask for a number of GPUs.
func candidate(gpus string, annotations ...string) deploy.Candidate {
	c := deploy.Candidate{
		Environment: deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: "resnet50"},
		Container:   "main", Layer: "resnet50", Image: image, Annotations: map[string]string{},
		Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "main", Image: "before"}, {Name: "proxy", Image: "proxy"},
		}}},
	}
	if gpus != "" {
		c.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(gpus)}
	}
	for i := 0; i < len(annotations); i += 2 {
		c.Annotations[annotations[i]] = annotations[i+1]
	}
	return c
}

// unseen is a candidate in a cluster whose nodes may not be read.
func unseen(c deploy.Candidate) deploy.Candidate {
	c.Unseen = "the role lacks list on nodes"
	return c
}

func node(name, driver, cuda, gpus string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"nvidia.com/cuda.driver-version.full": driver, "nvidia.com/cuda.runtime-version.full": cuda, "nvidia.com/gpu.product": "NVIDIA-RTX-A6000",
		"nvidia.com/gpu.memory": "49140", "nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.compute.minor": "6",
	}}}
	if gpus != "" {
		n.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(gpus)}
	}
	return n
}

// recorded are images by digest; nil is records that cannot be read.
type recorded map[digest.Digest]pipeline.Metadata

func (r recorded) ImageOf(_ context.Context, d digest.Digest) (pipeline.Image, bool, error) {
	if r == nil {
		return pipeline.Image{}, false, errors.New("the database is away")
	}
	m, ok := r[d]
	return pipeline.Image{Metadata: m}, ok, nil
}

func TestDriver(t *testing.T) {
	cu130 := pipeline.Metadata{
		CUDA:   &pipeline.Finding{Name: "cuda", Version: "13.0", Evidence: "wheel: opt/site-packages/torch-2.9.0+cu130.dist-info/METADATA"},
		GPU:    pipeline.Finding{Name: pipeline.GPURequired, Evidence: "wheel: opt/site-packages/torch-2.9.0+cu130.dist-info/METADATA"},
		Driver: &pipeline.Finding{Name: "driver", Version: "580.65.06", Evidence: "CUDA 13 runs on no older one"},
	}
	_, text, _ := strings.Cut(image, "@")
	records := recorded{digest.Digest(text): cu130}
	mixed := []*corev1.Node{node("gpu-1", "580.95.05", "13.0", "4"), node("gpu-3", "550.54.14", "12.4", "4"), node("cpu-1", "", "", "")}
	fresh := mixed[:1]
	const refused = "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); node gpu-3 has 550.54.14; pin cu126 or upgrade"
	barred := func(c deploy.Candidate) deploy.Candidate {
		c.Barred = mixed
		return c
	}
	const short = "resnet50: asks for GPUs with at least 81920 MiB (80Gi) of memory; nodes gpu-1 and gpu-3 have 49140 MiB"
	for _, test := range []struct {
		name      string
		candidate deploy.Candidate
		nodes     []*corev1.Node
		records   recorded
		answer    deploy.Answer
		reason    string
	}{
		{"refused by default", candidate("1"), mixed, records, deploy.Refuse, refused},
		{"warned of", candidate("1", PolicyAnnotation, "warn"), mixed, records, deploy.Warn, refused},
		{"ignored", candidate("1", PolicyAnnotation, "ignore"), mixed, records, deploy.Allow, ""},
		{"a policy that is none", candidate("1", PolicyAnnotation, "yes"), mixed, records, deploy.Refuse, `lab-layers.dev/driver-policy is "yes": take strict, refuse, warn or ignore`},
		{"fits", candidate("1"), fresh, records, deploy.Allow, "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); node gpu-1 will do"},
		{"asks for no GPU", candidate(""), mixed, records, deploy.Allow, ""},
		{"asks for none of them", candidate("0"), mixed, records, deploy.Allow, ""},
		{"no node has one", candidate("1"), mixed[2:], records, deploy.Unknown, "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); there is no node that it may run on"},
		{"not recorded", candidate("1"), fresh, recorded{}, deploy.Unknown, "resnet50: it is unknown which driver it needs (no such image is recorded); declare it in its Dockerfile, such as ENV NVIDIA_REQUIRE_CUDA=cuda>=12.6"},
		{"not recorded, strictly", candidate("1", PolicyAnnotation, "strict"), fresh, recorded{}, deploy.Refuse, "resnet50: it is unknown which driver it needs (no such image is recorded); declare it in its Dockerfile, such as ENV NVIDIA_REQUIRE_CUDA=cuda>=12.6"},
		{"no node has one, strictly", candidate("1", PolicyAnnotation, "strict"), mixed[2:], records, deploy.Refuse, "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); there is no node that it may run on"},
		{"refused, strictly", candidate("1", PolicyAnnotation, "strict"), mixed, records, deploy.Refuse, refused},
		{"fits, strictly", candidate("1", PolicyAnnotation, "strict"), fresh, records, deploy.Allow, "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); node gpu-1 will do"},
		{"records away", candidate("1"), fresh, nil, deploy.Refuse, "cannot read what the image needs: the database is away"},
		{"nodes unseen", unseen(candidate("1")), nil, records, deploy.Unknown, "resnet50: the driver could not be checked: the role lacks list on nodes; grant that, or annotate lab-layers.dev/driver-policy: strict to hold rollouts without it"},
		{"nodes unseen, strictly", unseen(candidate("1", PolicyAnnotation, "strict")), nil, records, deploy.Refuse, "resnet50: the driver could not be checked: the role lacks list on nodes; grant that"},
		{"nodes unseen, without GPU", unseen(candidate("")), nil, records, deploy.Allow, ""},
		{"too little memory", candidate("1", MemoryAnnotation, "80Gi"), fresh, records, deploy.Refuse, "resnet50: asks for 81920 MiB of GPU memory; node gpu-1 has 49140 MiB; ask for less, or keep it off by node affinity"},
		{"too old", candidate("1", CapabilityAnnotation, "9.0"), fresh, records, deploy.Refuse, "resnet50: asks for compute capability ≥ 9.0; node gpu-1 has GPUs of 8.6; keep it off by node affinity"},
		{"kept off for its memory", barred(candidate("1", MemoryAnnotation, "80Gi")), mixed[2:], records, deploy.Refuse, short},
		{"kept off for its memory, warned of", barred(candidate("1", MemoryAnnotation, "80Gi", PolicyAnnotation, "warn")), nil, records, deploy.Warn, short},
		{"kept off for something else", barred(candidate("1", MemoryAnnotation, "40Gi")), mixed[2:], records, deploy.Unknown, "resnet50: needs driver ≥ 580.65.06 (CUDA 13.0: wheel torch-2.9.0+cu130); there is no node that it may run on"},
		{"memory in bytes", candidate("1", MemoryAnnotation, "40"), fresh, records, deploy.Refuse, `lab-layers.dev/gpu-memory is "40": write it such as 40Gi`},
		{"bad memory", candidate("1", MemoryAnnotation, "lots"), fresh, records, deploy.Refuse, `lab-layers.dev/gpu-memory is "lots": write it such as 40Gi`},
		{"bad capability", candidate("1", CapabilityAnnotation, "9"), fresh, records, deploy.Refuse, `lab-layers.dev/gpu-capability: compute capability "9" is not two numbers, such as 8.6`},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := &Driver{Images: test.records, Now: at(noon)}
			for range 2 { // the second time from memory
				v := g.Check(t.Context(), test.candidate, test.nodes)
				if v.Answer != test.answer || v.Reason != test.reason {
					t.Errorf("%s: %s\nwant %s: %s", v.Answer, v.Reason, test.answer, test.reason)
				}
				if v.Until.IsZero() == (test.records == nil) {
					t.Errorf("until %s", v.Until)
				}
			}
		})
	}
}

func TestCalendar(t *testing.T) {
	const night = "CRON_TZ=Europe/Vienna 0 2 * * * for 3h"
	for _, test := range []struct {
		annotations []string
		answer      deploy.Answer
		reason      string
		until       time.Time
	}{
		{nil, deploy.Allow, "open", time.Time{}},
		{[]string{WindowAnnotation, night}, deploy.Refuse, "outside its window (" + night + "); opens Wed 2026-11-25 02:00 CET", noon.Add(13 * time.Hour)},
		{[]string{FreezeAnnotation, "0 11 * * * for 2h"}, deploy.Refuse, "frozen (0 11 * * * for 2h); opens Tue 2026-11-24 13:00 UTC", noon.Add(time.Hour)},
		{[]string{FreezeAnnotation, "0 13 * * * for 2h"}, deploy.Allow, "open until Tue 2026-11-24 13:00 UTC", noon.Add(time.Hour)},
		{[]string{WindowAnnotation, "at night", FreezeAnnotation, "x"}, deploy.Refuse,
			`window "at night": it does not say for how long; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h; freeze "x": it does not say for how long; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h`, time.Time{}},
	} {
		v := Calendar{at(noon)}.Check(t.Context(), candidate("", test.annotations...), nil)
		if v.Answer != test.answer || v.Reason != test.reason || !v.Until.Equal(test.until) {
			t.Errorf("%s: %s, until %s\nwant %s: %s, until %s", v.Answer, v.Reason, v.Until, test.answer, test.reason, test.until)
		}
	}
}
