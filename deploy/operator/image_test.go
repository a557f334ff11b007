package operator

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

func TestImageNames(t *testing.T) {
	seen := map[string]bool{}
	for _, ref := range []layers.Ref{"refs/heads/main", "refs/heads/MAIN", "refs/heads/m/a/i/n", "refs/tags/main", "refs/heads/öä",
		"refs/heads/-", layers.Ref("refs/heads/" + strings.Repeat("long/", 200)), "refs/heads/\xff\x00"} {
		for _, layer := range []layers.Name{"bert", "BERT", "be.rt", layers.Name(strings.Repeat("b", 255))} {
			for _, url := range []string{"https://git.example/lab.git", "https://git.example/other/lab.git", "/", "git@git.example:lab"} {
				name := imageName(deploy.RefState{Repository: url, Ref: ref}, deploy.BuiltLayer{Layer: layer})
				if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 || seen[name] {
					t.Errorf("%s of %s at %q in %s: %v, seen %t", name, layer, ref, url, faults, seen[name])
				}
				seen[name] = true
			}
		}
	}
}

func TestImage(t *testing.T) {
	const old, fresh = layers.Commit("aaaa"), layers.Commit("bbbb")
	made := deploy.BuiltLayer{Told: 7, Layer: "bert", Image: "bert@sha256:" + strings.Repeat("a", 64), Commit: fresh, Recorded: time.Unix(1, 0), Reason: "path: train.py"}
	with := func(b deploy.BuiltLayer, change func(*deploy.BuiltLayer)) deploy.BuiltLayer {
		change(&b)
		return b
	}
	ended := deploy.RefState{Repository: "https://git.example/lab.git", Ref: "refs/heads/main", Commit: fresh, Run: 7, Told: 7}
	for name, c := range map[string]struct {
		ref                          deploy.RefState
		built                        deploy.BuiltLayer
		ready, progressing, degraded string
		reason                       string
	}{
		"current":  {ended, made, "True Current", "False RunEnded", "False AsExpected", "path: train.py"},
		"building": {deploy.RefState{Commit: "cccc", Run: 8, Told: 7, Open: true}, made, "False Outdated", "True RunOpen", "False AsExpected", "path: train.py"},
		"failed": {ended, with(made, func(b *deploy.BuiltLayer) { b.Failed, b.Commit, b.Reason = true, old, "exit\ncode\x1b[31m 1" }),
			"False BuildFailed", "False RunEnded", "True BuildFailed", "exit code [31m 1"},
		"a sibling failed": {deploy.RefState{Commit: fresh, Run: 7, Told: 7, Problem: "failed: gpt"}, made, "True Current", "False RunEnded", "False AsExpected", "path: train.py"},
		"bad configuration": {deploy.RefState{Commit: "cccc", Run: 8, Told: 7, Problem: "failed: lab-layers.yaml:3"}, made,
			"False BuildFailed", "False RunEnded", "True BuildFailed", "failed: lab-layers.yaml:3"},
		"lost": {ended, with(made, func(b *deploy.BuiltLayer) { b.Image = "" }), "False NoImage", "False RunEnded", "False AsExpected", "path: train.py"},
	} {
		t.Run(name, func(t *testing.T) {
			i := image(c.ref, c.built, "registry.example/lab")
			for kind, want := range map[string]string{api.Ready: c.ready, api.Progressing: c.progressing, api.Degraded: c.degraded} {
				got := ""
				for _, is := range i.Status.Conditions {
					if is.Type == kind {
						got = string(is.Status) + " " + is.Reason
					}
				}
				if got != want {
					t.Errorf("%s is %s, not %s", kind, got, want)
				}
			}
			if i.Status.Reason != c.reason {
				t.Errorf("the reason is %q", i.Status.Reason)
			}
		})
	}
	if got := printable(strings.Repeat("é", 1000), 11); len(got) > 11 || !strings.HasSuffix(got, "…") {
		t.Errorf("it is cut to %q", got)
	}
}
