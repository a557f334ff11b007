package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// TestFailingLayers holds that a failing layer takes down what stands on it and
// nothing else, that the run says so with the place and the last lines, and
// that mending it succeeds.
func TestFailingLayers(t *testing.T) {
	l := newLab(t)
	first := l.pushed()

	l.replace("experiments/yolov7/Dockerfile", "RUN lab-check", "RUN echo the cause; exit 7")
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	v := l.push("refs/heads/main")
	if v.State != agent.Failed || !strings.Contains(v.Reason, "experiments/yolov7/Dockerfile:6") {
		t.Errorf("the run %s: %s", v.State, v.Reason)
	}
	if built, failed := joined(with(v, pipeline.Made)), joined(with(v, pipeline.Broken)); built != "unet" || failed != "yolov7" {
		t.Errorf("built %q, and %q failed", built, failed)
	}
	for _, out := range v.Outcomes {
		var wrong *pipeline.BuildError
		if out.Layer == "yolov7" && (!errors.As(out.Error, &wrong) || !slices.Contains(wrong.Tail, "the cause")) {
			t.Errorf("yolov7 failed with %+v", wrong)
		}
	}
	l.tagsHold(v)
	if got, want := l.tagged("yolov7", "main"), digests(first)["yolov7"]; got != want {
		t.Errorf("yolov7:main went from %s to %s", want, got)
	}
	if v.Snapshot == nil || v.Snapshot.Complete || len(v.Snapshot.Images) != 7 {
		t.Errorf("the snapshot is %+v", v.Snapshot)
	}

	l.git("checkout", "-q", "HEAD~1", "--", "experiments/yolov7")
	l.replace("images/tensorflow/Dockerfile", "RUN lab-install", "RUN exit 8; lab-install")
	v = l.push("refs/heads/main")
	if failed, blocked := joined(with(v, pipeline.Broken)), joined(with(v, pipeline.Blocked)); v.State != agent.Failed || failed != "tensorflow" || blocked != "bert-base" {
		t.Errorf("the run %s: %q failed, %q blocked", v.State, failed, blocked)
	}

	l.git("checkout", "-q", "HEAD~2", "--", "images")
	v = l.pushed()
	if got := with(v, pipeline.Reused); len(got) != 8 {
		t.Errorf("only %v were reused", got)
	}
	l.tagsHold(v)
}

// TestDeletedBehindOurBack holds that an image or a tag which somebody deletes
// from the registry is there again after the next push, and that the records
// are not trusted about it.
func TestDeletedBehindOurBack(t *testing.T) {
	l := newLab(t)
	v := l.pushed()
	client := l.agent.Carrier.Pipeline.Registry.(*registry.Client)
	l.check(client.DeleteManifest(t.Context(), l.prefix+"/gpt-2", digests(v)["gpt-2"]))
	l.check(client.DeleteTag(t.Context(), l.prefix+"/resnet50", "main"))
	if l.tagged("gpt-2", "main") != "" || l.tagged("resnet50", "main") != "" {
		t.Fatal("the registry did not delete")
	}
	l.write("README.md", "New.\n")
	v = l.pushed()
	if got := l.built(v); got != "gpt-2" {
		t.Errorf("built %q, want gpt-2", got)
	}
	l.tagsHold(v)

	// A parent that is gone is built again, and its children stand as they are
	// if it comes out as it was.
	l.check(client.DeleteManifest(t.Context(), l.prefix+"/pytorch", digests(v)["pytorch"]))
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	v = l.pushed()
	if got := l.built(v); got != "pytorch unet" {
		t.Errorf("built %q, want pytorch unet", got)
	}
	l.tagsHold(v)
	l.sharesBlobs(v)
}

// TestParentBuiltOtherwise holds that children share their parent's blobs when
// it was lost and came out otherwise: they are built on the new one, and the
// history says why.
func TestParentBuiltOtherwise(t *testing.T) {
	l := newLab(t)
	l.replace("images/pytorch/Dockerfile", "RUN lab-install", "RUN cat /proc/sys/kernel/random/uuid > /chance && lab-install")
	first := l.pushed()
	client := l.agent.Carrier.Pipeline.Registry.(*registry.Client)
	l.check(client.DeleteManifest(t.Context(), l.prefix+"/pytorch", digests(first)["pytorch"]))
	// Another BuildKit does not have the old one in its cache.
	empty, err := shared.other()
	l.check(err)
	p := l.place
	p.buildkit = empty.Address()
	other := l.beside(p)
	other.write("README.md", "New.\n")
	v := other.pushed()
	if got := other.built(v); got != "gpt-2 pytorch resnet50 unet yolov7" {
		t.Errorf("built %q", got)
	}
	if digests(first)["pytorch"] == digests(v)["pytorch"] {
		t.Fatal("pytorch came out as before")
	}
	other.tagsHold(v)
	other.sharesBlobs(v)
	want := "parent: pytorch was built anew: "
	other.told(map[layers.Name]string{"gpt-2": want, "resnet50": want, "unet": want, "yolov7": want})

	// An agent with the old BuildKit takes them as they are now.
	l.write("README.md", "Newer.\n")
	again := l.pushed()
	if got := l.built(again); got != "" {
		t.Errorf("built %q again", got)
	}
	l.same(v, again)
}

// sharesBlobs checks that every image has its parent's blobs, and the records
// its parent's digest.
func (l *lab) sharesBlobs(v agent.Verdict) {
	l.Helper()
	for _, layer := range v.Plan.Layers {
		if layer.Parent == nil {
			continue
		}
		image, parent := v.Snapshot.Images[layer.Name], v.Snapshot.Images[*layer.Parent]
		if image.Parent != parent.Digest {
			l.Errorf("%s stands on %s, and %s is %s", layer.Name, image.Parent, *layer.Parent, parent.Digest)
		}
		for i, blob := range parent.Blobs {
			if i >= len(image.Blobs) || image.Blobs[i].Digest != blob.Digest {
				l.Errorf("%s does not share blob %d of %s", layer.Name, i, *layer.Parent)
			}
		}
	}
}

// TestLostRecords holds that an agent with a new database adopts the images
// that the registry has, and builds nothing.
func TestLostRecords(t *testing.T) {
	l := newLab(t)
	before := l.pushed()
	p := newPlace()
	p.prefix = l.prefix
	other := l.beside(p)
	after := other.settle()
	if got := other.built(after); after.State != agent.Succeeded || got != "" {
		t.Errorf("%s: built %q", after.State, got)
	}
	l.same(before, after)
	other.tagsHold(after)
}

// TestPlantedImage holds that an agent which does not adopt builds by itself
// what a registry claims to have under a key.
func TestPlantedImage(t *testing.T) {
	l := newLab(t)
	l.pushed()
	p := newPlace()
	p.prefix = l.prefix
	other := l.beside(p)
	other.agent.Carrier.Pipeline.Adopt = false
	if got := other.built(other.settle()); got != everything {
		t.Errorf("built %q", got)
	}
}

// TestLostRegistry holds that everything is built again in a registry that is
// empty, whatever the records say.
func TestLostRegistry(t *testing.T) {
	l := newLab(t)
	l.pushed()
	p := newPlace()
	p.schema = l.schema
	other := l.beside(p)
	l.write("README.md", "New.\n")
	v := other.pushed()
	if got := other.built(v); got != everything {
		t.Errorf("built %q", got)
	}
	other.tagsHold(v)
}

// TestLostBuildKit holds that a BuildKit without any cache builds what changed
// and nothing else.
func TestLostBuildKit(t *testing.T) {
	shared.open(t)
	empty, err := shared.other()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	l.pushed()
	p := l.place
	p.buildkit = empty.Address()
	other := l.beside(p)
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	v := other.pushed()
	if got := other.built(v); got != "unet" {
		t.Errorf("built %q, want unet", got)
	}
	other.tagsHold(v)
}

// TestBadInput holds that what is wrong in a repository fails the run at once,
// with all reasons, and that the next good push works.
func TestBadInput(t *testing.T) {
	l := newLab(t)
	l.pushed()
	const copyAll = "COPY --link packages.apt requirements.txt /lab/frameworks/tensorflow/\nCOPY . /all/"
	for _, bad := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"no configuration", func() { l.git("rm", "-q", "lab-layers.yaml") }, []string{"lab-layers.yaml", "lab-layers init"}},
		{"a broken one", func() {
			l.write("lab-layers.yaml", "version: 1\ncolour: red\nlayers:\n  - {name: base, kind: base}\n  - {name: base, kind: base}\n  - {name: x, kind: experiment, parent: nobody}\n")
		}, []string{"lab-layers.yaml:2:", "colour", "lab-layers.yaml:5:", "lab-layers.yaml:6:", "nobody"}},
		{"no YAML", func() { l.write("lab-layers.yaml", "\x00{") }, []string{"lab-layers.yaml"}},
		{"no Dockerfile", func() { l.git("rm", "-q", "experiments/unet/Dockerfile") }, []string{"unet", "experiments/unet/Dockerfile"}},
		{"a broken Dockerfile", func() { l.write("experiments/unet/Dockerfile", "FROM pytorch\nFETCH x\n") }, []string{"unet", "experiments/unet/Dockerfile", "FETCH"}},
		{"a submodule", func() {
			l.replace("images/tensorflow/Dockerfile", "COPY --link packages.apt requirements.txt /lab/frameworks/tensorflow/", copyAll)
			l.git("add", "images/tensorflow/Dockerfile")
			l.git("update-index", "--add", "--cacheinfo", "160000,"+string(l.head())+",images/tensorflow/module")
		}, []string{"tensorflow", "module is a submodule"}},
		{"300 directories in one another", func() {
			l.replace("images/tensorflow/Dockerfile", "COPY --link packages.apt requirements.txt /lab/frameworks/tensorflow/", copyAll)
			l.write("images/tensorflow/"+strings.Repeat("d/", 300)+"f", "")
		}, []string{"tensorflow", "images/tensorflow", "deep"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			good := l.head()
			bad.change()
			if bad.name != "a submodule" { // it has no files to add
				l.git("add", "-A")
			}
			l.git("commit", "-q", "-m", bad.name)
			l.git("push", "-q", "origin", "HEAD:main")
			v := l.settle()
			if v.State != agent.Failed {
				t.Errorf("the run %s", v.State)
			}
			for _, want := range bad.want {
				if !strings.Contains(v.Reason, want) {
					t.Errorf("the reason does not say %q: %s", want, v.Reason)
				}
			}
			if made := with(v, pipeline.Made); len(made) > 0 {
				t.Errorf("built %v", made)
			}
			l.git("reset", "-q", "--hard", string(good))
			l.git("clean", "-fdq")
			if got := l.built(l.pushed()); got != "" {
				t.Errorf("the good commit built %q", got)
			}
		})
	}
}

// TestRefWithoutRule holds that a push that no rule covers is recorded and
// leads to nothing.
func TestRefWithoutRule(t *testing.T) {
	l := newLab(t)
	l.pushed()
	v := l.push("refs/heads/scratch")
	if v.State != agent.Cancelled || !strings.Contains(v.Reason, "nothing to do") || !strings.Contains(v.Reason, "refs/heads/scratch") {
		t.Errorf("the run %s: %s", v.State, v.Reason)
	}
	if asked := l.builds.take(); len(asked) > 0 || len(v.Tags) > 0 {
		t.Errorf("built %v, tagged %v", asked, v.Tags)
	}
}

// TestTagsOfMain holds that a branch cannot take main's tags by rules of its
// own: main's rules say which tags a branch gives.
func TestTagsOfMain(t *testing.T) {
	l := newLab(t)
	main := l.pushed()
	rules := l.read("lab-layers.yaml")
	at := strings.Index(rules, "\nrefs:")
	l.write("lab-layers.yaml", rules[:at]+"\nrefs:\n  - {ref: refs/heads/feature/x, tags: [main]}\n  - {ref: refs/heads/main, tags: [stolen]}\n")
	l.replace("experiments/unet/hparams.json", "{", "{ ")
	v := l.push("refs/heads/feature/x")
	if got := l.built(v); got != "unet" {
		t.Errorf("the branch built %q, want unet", got)
	}
	if names, _ := l.expires(v); names != "feature-x" {
		t.Errorf("the branch gives the tags %q, want feature-x", names)
	}
	if got, want := l.tagged("unet", "main"), digests(main)["unet"]; got != want {
		t.Errorf("unet:main went from %s to %s", want, got)
	}
}
