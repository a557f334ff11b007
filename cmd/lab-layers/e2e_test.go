package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const everything = "base bert-base gpt-2 pytorch resnet50 tensorflow unet yolov7"

// TestWhatAPushBuilds holds that a push builds exactly the layers whose inputs
// it changes, one push after another, and that the rest are reused without
// BuildKit being asked.
func TestWhatAPushBuilds(t *testing.T) {
	l := newLab(t)
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"the first push", func() {}, everything},
		{"one line of one experiment", func() { l.replace("experiments/resnet50/hparams.json", "{", "{ ") }, "resnet50"},
		{"the README", func() { l.write("README.md", "New.\n") }, ""},
		{"the README of an experiment", func() { l.write("experiments/resnet50/README.md", "New.\n") }, ""},
		{"a framework", func() { l.replace("images/pytorch/packages.apt", "\n", "\n\n") }, "gpt-2 pytorch resnet50 unet yolov7"},
		{"a comment in a Dockerfile", func() { l.replace("images/base/Dockerfile", "# base:", "# the base:") }, ""},
		{"the mode of a file", func() { l.check(os.Chmod(filepath.Join(l.dir, "experiments/unet/train.py"), 0o755)) }, "unet"},
		{"the name of a file", func() {
			l.git("mv", "experiments/bert-base/model_pytorch.py", "experiments/bert-base/model_torch.py")
		}, "bert-base"},
		{"a new file that a wildcard takes", func() { l.write("experiments/bert-base/model_jax.py", "") }, "bert-base"},
		{"a file that no COPY takes", func() { l.write("experiments/yolov7/notes.txt", "") }, ""},
		{"an ignore file, to the same effect", func() { l.write("experiments/yolov7/.dockerignore", "*\n!train.py\n!*.json\n") }, ""},
		{"a label of the base", func() { l.replace("images/base/Dockerfile", `"lab base"`, `"the lab's base"`) }, everything},
	} {
		step.change()
		if got := l.built(l.pushed()); got != step.want {
			t.Errorf("%s: built %q, want %q", step.name, got, step.want)
		}
	}
}

// TestSameSizeEdit holds that an edit that changes neither size nor time of a
// file, by which BuildKit knows files, is in the image.
func TestSameSizeEdit(t *testing.T) {
	l := newLab(t)
	for _, text := range []string{`{"seed": 1}`, `{"seed": 2}`, `{"seed": 3}`} {
		l.write("experiments/gpt-2/hparams.json", text)
		v := l.pushed()
		if got := l.file("gpt-2", "main", "lab/hparams.json"); got != text {
			t.Errorf("the image has %s, want %s", got, text)
		}
		l.tagsHold(v)
	}
}

// TestBackToWhatWas holds that content decides, not history: a revert, a
// force-push back and a squash find the images that are there.
func TestBackToWhatWas(t *testing.T) {
	l := newLab(t)
	first := l.pushed()
	start := l.head()
	l.replace("images/tensorflow/packages.apt", "\n", "\n\n")
	second := l.pushed()
	if got := l.built(second); got != "bert-base tensorflow" {
		t.Fatalf("built %q", got)
	}
	l.git("revert", "--no-edit", "HEAD")
	reverted := l.pushed()
	l.same(first, reverted)
	l.git("reset", "-q", "--hard", "HEAD~1")
	forced := l.pushed()
	l.same(second, forced)
	l.git("reset", "-q", "--soft", string(start))
	l.commit("squashed")
	squashed := l.pushed()
	l.same(second, squashed)
	if got := l.built(squashed) + l.built(forced) + l.built(reverted); got != "" {
		t.Errorf("built %q again", got)
	}
	l.tagsHold(squashed)
}

// TestSeveralCommits holds that a push of several commits plans its end state:
// what was changed and changed back is not built.
func TestSeveralCommits(t *testing.T) {
	l := newLab(t)
	l.pushed()
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	l.commit("unet: a change")
	l.replace("experiments/yolov7/hparams.json", "{", "{ ")
	l.commit("yolov7: a change")
	l.git("revert", "--no-edit", "HEAD~1")
	v := l.pushed()
	if got := l.built(v); got != "yolov7" {
		t.Errorf("built %q, want yolov7", got)
	}
	if got := l.file("yolov7", "main", "lab/hparams.json"); !strings.HasPrefix(got, "{ ") {
		t.Errorf("yolov7:main has %s", got)
	}
	l.plansAlike(v)
}

// plansAlike holds that who plans the working copy's commit sees the keys of the
// images that a run made of it.
func (l *lab) plansAlike(v agent.Verdict) {
	l.Helper()
	var out bytes.Buffer
	root := newRoot(&out, io.Discard)
	root.SetArgs([]string{"plan", "--repo", l.dir, "-o", "json"})
	l.check(root.ExecuteContext(l.Context()))
	var plan layers.Plan
	l.check(json.Unmarshal(out.Bytes(), &plan))
	for _, layer := range plan.Layers {
		if made := v.Snapshot.Images[layer.Name].Key; layer.Key != made {
			l.Errorf("%s: plan says key %s, its image has %s", layer.Name, layer.Key, made)
		}
	}
	if len(plan.Layers) != len(v.Snapshot.Images) {
		l.Errorf("plan has %d layers, the snapshot %d", len(plan.Layers), len(v.Snapshot.Images))
	}
}

// TestBranches holds the tag convention: a branch of known content is only
// tagged, feature/ and experiment/ branches are temporary, main and a Git tag
// are not, and a tag that was given stays where it is.
func TestBranches(t *testing.T) {
	l := newLab(t)
	main := l.pushed()
	short := l.head().Short()
	for _, step := range []struct {
		ref, names string
		life       time.Duration
	}{
		{"refs/heads/main", "main main-" + short, 0},
		{"refs/heads/feature/x", "feature-x", 14 * 24 * time.Hour},
		{"refs/heads/experiment/x", "experiment-x", 14 * 24 * time.Hour},
		{"refs/tags/v1", "v1", 0},
	} {
		v := main
		if step.ref != "refs/heads/main" {
			v = l.push(step.ref)
			if got := l.built(v); v.State != agent.Succeeded || got != "" {
				t.Errorf("%s: %s, built %q", step.ref, v.State, got)
			}
		}
		l.same(main, v)
		l.tagsHold(v)
		names, life := l.expires(v)
		if names != step.names || life > step.life || life < step.life-time.Hour {
			t.Errorf("%s: tagged %s for %s, want %s for %s", step.ref, names, life, step.names, step.life)
		}
	}

	l.replace("experiments/unet/hparams.json", "{", "{ ")
	v := l.push("refs/heads/feature/x")
	if got := l.built(v); got != "unet" {
		t.Errorf("the branch built %q, want unet", got)
	}
	l.tagsHold(v)
	l.tagsHold(main)

	// The Git tag is moved; the images that people got by its name stay.
	moved := l.push("refs/tags/v1")
	if moved.State != agent.Failed || !strings.Contains(moved.Reason, "unet:v1") || strings.Contains(moved.Reason, "base:v1") {
		t.Errorf("the moved tag: %s: %s", moved.State, moved.Reason)
	}
	if got, want := l.tagged("unet", "v1"), digests(main)["unet"]; got != want {
		t.Errorf("unet:v1 went from %s to %s", want, got)
	}
}

// TestSharedBlobs holds that the blobs of an image begin with those of its
// parent, to the byte.
func TestSharedBlobs(t *testing.T) {
	l := newLab(t)
	v := l.pushed()
	for _, planned := range v.Plan.Layers {
		if planned.Parent == nil {
			continue
		}
		own, below := l.blobs(planned.Name), l.blobs(*planned.Parent)
		if len(own) <= len(below) {
			t.Fatalf("%s has %d blobs, its parent %d", planned.Name, len(own), len(below))
		}
		for i, blob := range below {
			if own[i].Digest != blob.Digest || own[i].Size != blob.Size || own[i].MediaType != blob.MediaType {
				t.Errorf("blob %d of %s is %v, and of its parent %v", i, planned.Name, own[i], blob)
			}
		}
	}
}

func (l *lab) blobs(layer layers.Name) []v1.Descriptor {
	l.Helper()
	manifest, err := l.image(layer, "main").Manifest()
	l.check(err)
	return manifest.Layers
}

// TestIncrementalIsClean holds that in reproducible mode a chain of incremental
// builds ends with the very digests of a clean build, on another BuildKit, with
// other records and in another repository of the registry.
func TestIncrementalIsClean(t *testing.T) {
	shared.open(t)
	other, err := shared.other()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	p := newPlace()
	p.reproducible = true
	chain := l.beside(p)
	chain.pushed()
	var last agent.Verdict
	for _, change := range []func(){
		func() { l.replace("experiments/resnet50/hparams.json", "{", "{ ") },
		func() { l.replace("images/pytorch/packages.apt", "\n", "\n\n") },
		func() { l.replace("experiments/resnet50/hparams.json", "{ ", "{") },
		func() { l.check(os.Chmod(filepath.Join(l.dir, "experiments/yolov7/train.py"), 0o755)) },
		func() { l.replace("images/base/lab-check", "\n", "\n\n") },
		func() { l.write("experiments/gpt-2/hparams.json", `{"seed": 1}`) },
	} {
		change()
		last = chain.pushed()
		chain.builds.take()
	}
	clean := newPlace()
	clean.reproducible, clean.buildkit = true, other.Address()
	afresh := l.beside(clean)
	v := afresh.settle()
	if got := afresh.built(v); got != everything {
		t.Errorf("the clean build built %q", got)
	}
	afresh.same(last, v)
}

// TestTwoAgents holds that two agents that build one commit at once, each with
// a BuildKit of its own, end with the same images.
func TestTwoAgents(t *testing.T) {
	shared.open(t)
	other, err := shared.other()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	p := l.place
	p.buildkit = other.Address()
	second := l.beside(p)
	l.git("push", "-q", "origin", "HEAD:refs/heads/feature/twin")
	l.check(l.agent.Look(t.Context(), l.agent.Sources[0])) // two runs, for main and for the branch
	var both sync.WaitGroup
	for _, one := range []*lab{l, second} {
		both.Go(func() {
			if worked, err := one.agent.Work(t.Context()); !worked || err != nil {
				t.Errorf("worked %v: %v", worked, err)
			}
		})
	}
	both.Wait()
	if len(l.ended) != 1 || len(second.ended) != 1 {
		t.Fatalf("they ended %d and %d runs: %+v", len(l.ended), len(second.ended), l.runs())
	}
	l.same(l.ended[0], second.ended[0])
	l.tagsHold(l.ended[0])
	l.tagsHold(second.ended[0])
	for _, out := range l.ended[0].Outcomes {
		if out.State != pipeline.Made && out.State != pipeline.Reused {
			t.Errorf("%s %s: %v", out.Layer, out.State, out.Error)
		}
	}
}
