package buildkit

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/pipeline"
)

func TestBuild(t *testing.T) {
	b := mustNew(t, Options{})
	parent := base(t, b)
	s := solvable(t, "FROM parent\nCOPY train.py /lab/\nRUN echo $((6*7)) | tee /answer\nENV A=b\nLABEL old=kept\n",
		memFS{{path: "train.py", data: "print(1)\n"}}, parent, byContent)
	o := order(t, s)
	o.Labels = map[string]string{"org.opencontainers.image.title": "train"}
	o.Annotations = map[string]string{"org.opencontainers.image.revision": "abc"}
	var events []pipeline.Event
	built, err := b.Build(t.Context(), o, func(e pipeline.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	img := fetch(t, o.Repository, built.Digest)
	if got, _ := img.file(t, "/answer"); got != "42\n" {
		t.Errorf("/answer is %q", got)
	}
	if got, _ := img.file(t, "/lab/train.py"); got != "print(1)\n" {
		t.Errorf("train.py is %q", got)
	}
	var config struct {
		Config struct {
			Env    []string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal(img.config, &config); err != nil {
		t.Fatal(err)
	}
	if l := config.Config.Labels; l["old"] != "kept" || l["org.opencontainers.image.title"] != "train" {
		t.Errorf("labels %v", l)
	}
	if e := strings.Join(config.Config.Env, " "); e != "PATH=/bin A=b" {
		t.Errorf("environment %q", e)
	}
	if a := img.manifest.Annotations; a["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("annotations %v", a)
	}
	if top := img.manifest.Layers[len(img.manifest.Layers)-1]; !strings.HasSuffix(string(top.MediaType), "+zstd") {
		t.Errorf("top layer is %s", top.MediaType)
	}
	if tags := sharedRegistry.since(func() {}); len(tags) > 0 {
		t.Errorf("requests after the build: %v", tags)
	}
	if !strings.Contains(string(built.Log), "\n42\n") {
		t.Errorf("the log is %s", built.Log)
	}
	var run *pipeline.BuildStep
	for i, step := range built.Steps {
		if strings.Contains(step.Name, "RUN echo") {
			run = &built.Steps[i]
		}
	}
	if run == nil || run.Cached || run.Duration <= 0 || run.File != "lab/Dockerfile" || run.Line != 3 {
		t.Errorf("step %+v of %+v", run, built.Steps)
	}
	seen := map[pipeline.EventState]bool{}
	for _, e := range events {
		if strings.Contains(e.Step, "RUN echo") {
			seen[e.State] = true
		}
		if e.Layer != o.Layer || e.Time.IsZero() {
			t.Errorf("event %+v", e)
		}
	}
	if !seen[pipeline.Started] || !seen[pipeline.Output] || !seen[pipeline.Completed] {
		t.Errorf("events of the RUN: %v", seen)
	}

	again, err := b.Build(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range again.Steps {
		if strings.Contains(step.Name, "RUN echo") && !step.Cached {
			t.Errorf("second time: %+v", step)
		}
	}
}

// TestStaleContext shows why a context's hint must be its content's name: a
// file of the same size and time counts as unchanged.
func TestStaleContext(t *testing.T) {
	b := mustNew(t, Options{})
	for _, test := range []struct {
		name  string
		hint  contextHint
		stale bool
	}{
		{"constant hint", constant, true},
		{"content's hint", byContent, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			build := func(content string) string {
				s := solvable(t, "FROM scratch\nCOPY f /f\n", memFS{{path: "f", data: content}}, nil, test.hint)
				o := order(t, s)
				o.Repository = sharedRegistry.host + "/lab/stale"
				got, _ := mustBuild(t, b, o).file(t, "/f")
				return got
			}
			build("lr = 0.1")
			got := build("lr = 0.2")
			if stale := got == "lr = 0.1"; stale != test.stale {
				t.Errorf("the second build has %q", got)
			}
		})
	}
}
