package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
)

// TestSettings tells at once of annotations that nothing reads, and of values that
// cannot be followed. What is faulty is not rolled until that is mended.
func TestSettings(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "settings"})
	const ours = "lab-layers.dev/"
	many := map[string]string{}
	for i := range 1000 {
		many[fmt.Sprintf("%s%03d%s", ours, i, strings.Repeat("x", 60))] = ""
	}
	faulty := map[deploy.Environment]string{}
	for i, test := range []struct {
		annotations map[string]string
		reason      string
	}{
		{map[string]string{ours + "windw": "0 2 * * * for 3h"}, "nothing reads lab-layers.dev/windw; did you mean lab-layers.dev/window?"},
		{map[string]string{ours + "driverPolicy": "strict"}, "nothing reads lab-layers.dev/driverPolicy; did you mean lab-layers.dev/driver-policy?"},
		{map[string]string{ours + "layer-sidecar": "unet"}, "nothing reads lab-layers.dev/layer-sidecar; did you mean lab-layers.dev/layer.sidecar?"},
		{map[string]string{ours + "layer.sidecart": "unet"}, "lab-layers.dev/layer.sidecart: there is no container sidecart; did you mean lab-layers.dev/layer.sidecar?"},
		{map[string]string{ours + "layer.nosuch": "unet"}, "lab-layers.dev/layer.nosuch: there is no container nosuch; there are main, sidecar"},
		{map[string]string{ours + "smoke.X": `["true"]`}, "lab-layers.dev/smoke.X: there is no container X; there are main, sidecar"},
		{map[string]string{ours + "smoke.sidecar": `["true"]`}, "lab-layers.dev/smoke.sidecar: the container gets no image; annotate lab-layers.dev/layer.sidecar, too"},
		{map[string]string{ours + "owner": "ada"}, "nothing reads lab-layers.dev/owner; below lab-layers.dev/ there are canary, drift, driver-policy, freeze, gpu-capability, gpu-memory, layer.CONTAINER, pre-pull, pre-pull-policy, pre-pull-timeout, progress-deadline, repository, smoke, smoke-timeout, smoke.CONTAINER, track, when-idle, when-idle-latest, when-idle-unknown, window"},
		{map[string]string{deploy.PullTimeoutAnnotation: "1h"}, "lab-layers.dev/pre-pull-timeout does nothing without lab-layers.dev/pre-pull"},
		{map[string]string{gates.IdleLatestAnnotation: "48h"}, "lab-layers.dev/when-idle-latest does nothing without lab-layers.dev/when-idle"},
		{map[string]string{gates.FreezeAnnotation: "in summer"}, `freeze "in summer": it does not say for how long; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h`},
		{map[string]string{deploy.DriftAnnotation: strings.Repeat("x", 100_000)}, `lab-layers.dev/drift is "` + strings.Repeat("x", 40) + `": take report or correct`},
		{map[string]string{ours + "layer.main": "", ours + "layr.main": "unet"}, "nothing reads lab-layers.dev/layr.main; did you mean lab-layers.dev/layer.main?"},
		{map[string]string{ours + "layer.main": "UNet"}, `lab-layers.dev/layer.main: bad name "UNet": take lower-case letters and digits, with single "." or "_" or any "-" between them`},
		{map[string]string{gates.WindowAnnotation: strings.Repeat("x;", 100_000)}, `window "x": it does not say for how long; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h; there are more than 5 windows: no more are looked through`},
		{many, "nor does anything read 997 others; below lab-layers.dev/ there are canary, "},
	} {
		faulty[l.deployment(workload{name: fmt.Sprint("faulty-", i), layer: "unet", image: "registry.example/lab/unet:old", annotations: test.annotations})] = test.reason
	}
	unseen := l.deployment(workload{name: "unseen", untracked: true, image: "registry.example/lab/unet:old", annotations: map[string]string{ours + "layr.main": "unet"}})
	l.annotate(unseen, ours+"layer.main", "null")
	faulty[unseen] = "nothing reads lab-layers.dev/layr.main; did you mean lab-layers.dev/layer.main?"
	sound := l.deployment(workload{name: "sound", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1, annotations: map[string]string{
		ours + "commit": "c", ours + "rolled-at": "x", "example.dev/windw": "", ours + "pre-pull": "1", gates.SmokeAnnotation + ".main": `["true"]`,
	}})
	l.start(l.engine())
	for e, reason := range faulty {
		if v := l.await(e, deploy.Faulty, ""); v.Reason != reason && (!strings.HasPrefix(reason, "nor ") || !strings.Contains(v.Reason, reason)) || len(v.Reason) > 1000 {
			t.Errorf("%s: %.2000s\nwant %s", e, v.Reason, reason)
		}
	}
	commit := l.push("unet", runs(1))
	l.await(sound, deploy.Healthy, commit)
	for e := range faulty {
		if v := l.listed(e); v.State != deploy.Faulty || v.Rollout != nil || len(v.Images) != 1 && e.Name == "faulty-0" || l.image(e) != "registry.example/lab/unet:old" {
			t.Errorf("%s is %s, with %s, by %v", e, v.State, l.image(e), v.Rollout)
		}
	}
	mended := deploy.Environment{Namespace: l.ns, Kind: deploy.Deployment, Name: "faulty-0"}
	l.annotate(mended, ours+"windw", "null")
	l.await(mended, deploy.Healthy, commit)
}

// TestNamesOfNothing says of what is waited for in vain that there is none, and what
// there is.
func TestNamesOfNothing(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "names"})
	w := workload{name: "fine", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1}
	fine := l.deployment(w)
	w.name, w.layer = "misspelt", "brt"
	misspelt := l.deployment(w)
	w.name, w.layer = "unlike", "gpt-2"
	unlike := l.deployment(w)
	w.name, w.layer, w.annotations = "branch", "unet", map[string]string{deploy.TrackAnnotation: "mian"}
	branch := l.deployment(w)
	w.name, w.annotations = "tag", map[string]string{deploy.TrackAnnotation: "v1"}
	tag := l.deployment(w)
	w.name, w.annotations = "pattern", map[string]string{deploy.TrackAnnotation: "exam-*"}
	pattern := l.deployment(w)
	l.start(l.engine())
	l.awaitSays(branch, deploy.Waiting, "no run of mian has made images yet")
	l.Release("refs/tags/v1", map[layers.Name]string{"unet": runs(3)})
	commit := l.Release(mainRef, map[layers.Name]string{"bert": runs(1), "unet": runs(2)})
	l.await(fine, deploy.Healthy, commit)
	for e, reason := range map[deploy.Environment]string{
		misspelt: "commit " + commit.Short() + " of main has no image of layer brt; did you mean bert?",
		unlike:   "commit " + commit.Short() + " of main has no image of layer gpt-2; there are bert, unet",
		branch:   "no run of mian has made images yet; did you mean main?",
		tag:      "no run of v1 has made images yet; did you mean refs/tags/v1?",
		pattern:  "no run of exam-* has made images yet; 2 other refs have images",
	} {
		l.awaitSays(e, deploy.Waiting, reason)
	}
	// What runs goes on, and says that it follows nothing.
	l.annotate(fine, deploy.TrackAnnotation, `"mian"`)
	l.awaitSays(fine, deploy.Waiting, "no run of mian has made images yet; did you mean main?")
	// It may come.
	l.await(misspelt, deploy.Healthy, l.push("brt", runs(4)))
}

// awaitSays waits until an environment stands in a state for a reason.
func (l *lab) awaitSays(e deploy.Environment, state deploy.State, reason string) {
	l.Helper()
	clustertest.Await(l, fmt.Sprintf("%s to be %s: %s", e, state, reason), func(context.Context) error {
		if v := l.listed(e); v == nil || v.State != state || v.Reason != reason {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
}

// TestFaultyInTurn has nobody wait for what was about to be rolled and cannot be.
func TestFaultyInTurn(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "faulty-in-turn"})
	make := func(name, layer string, annotations map[string]string) deploy.Environment {
		return l.deployment(workload{name: name, layer: layer, image: "registry.example/lab/" + layer + ":old", replicas: 1, annotations: annotations})
	}
	rolls, next := make("rolls", "bert", nil), make("next", "torch", nil)
	canary := make("canary", "unet", map[string]string{deploy.CanaryAnnotation: "true", gates.SmokeAnnotation: `["true"]`})
	after := make("after", "unet", nil)
	l.start(l.engine(func(e *deploy.Engine) {
		e.Canary, e.Parallel = true, 1
		e.Gates = []deploy.Gate{&gates.Smoke{Client: l.Client, Now: time.Now}} // it never begins
	}))
	l.push("bert", clustertest.Unready.Digest(1))
	l.await(rolls, deploy.Rolling, "")
	commit := l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1), "torch": runs(1), "unet": runs(2)})
	has(t, l.await(next, deploy.Held, "").Reason, "waits for its turn")
	has(t, l.await(canary, deploy.Held, "").Reason, "the smoke test waits")
	has(t, l.await(after, deploy.Held, "").Reason, "waits for "+canary.String())
	// What is under way goes on, and back.
	l.annotate(rolls, gates.WindowAnnotation, `"never"`)
	l.annotate(rolls, deploy.DeadlineAnnotation, `"1s"`)
	v := l.await(rolls, deploy.Faulty, "")
	if v.Rollout.State != deploy.RolledBack || l.image(rolls) != "registry.example/lab/bert:old" {
		t.Errorf("it has %s, by %+v", l.image(rolls), v.Rollout)
	}
	l.await(next, deploy.Healthy, commit)
	// So does what a person wants.
	l.check(l.store.Pin(t.Context(), deploy.Pin{Environment: rolls, Repository: labURL, Images: deploy.Images{"main": ref("bert", runs(9))}, By: "ada"}))
	l.await(rolls, deploy.Faulty, "")
	clustertest.Await(t, "the pin", func(context.Context) error {
		if v := l.listed(rolls); v.State != deploy.Faulty || v.Rollout.State != deploy.Healthy || l.image(rolls) != ref("bert", runs(9)) {
			return fmt.Errorf("it is %s with %s, by %+v", v.State, l.image(rolls), v.Rollout)
		}
		return nil
	})
	l.annotate(canary, gates.SmokeAnnotation, `"never"`)
	l.await(canary, deploy.Faulty, "")
	l.await(after, deploy.Healthy, commit)
	l.annotate(canary, gates.SmokeAnnotation, "null")
	l.await(canary, deploy.Healthy, commit)
}
