package main

import (
	"testing"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// TestInspect holds that an agent which starts mends the tags that somebody
// deleted or moved, and leaves alone what a run would not mend.
func TestInspect(t *testing.T) {
	l := newLab(t)
	old := l.pushed().Snapshot.Commit
	l.write("README.md", "New.\n")
	main := l.pushed()
	version := l.push("refs/tags/v1.2")
	if version.State != agent.Succeeded {
		t.Fatalf("the run %s: %s", version.State, version.Reason)
	}
	client := l.agent.Carrier.Pipeline.Registry.(*registry.Client)
	repository := func(layer layers.Name) string { return l.prefix + "/" + string(layer) }
	remove := func(layer layers.Name, tag string) {
		l.Helper()
		l.check(client.DeleteTag(t.Context(), repository(layer), tag))
	}
	other := digests(main)["base"]
	move := func(layer layers.Name, tag string) {
		l.Helper()
		l.check(client.Tag(t.Context(), repository("base"), other, repository(layer), tag))
	}
	inspect := func(runs int) {
		l.Helper()
		before := len(l.runs())
		l.check(l.agent.Inspect(t.Context(), l.agent.Sources[0]))
		if n := len(l.runs()) - before; n != runs {
			t.Fatalf("it queued %d runs, not %d", n, runs)
		}
	}
	inspect(0)

	remove("resnet50", "main")
	move("unet", "main")
	inspect(1)
	l.tagsHold(l.work())
	inspect(0)

	remove("gpt-2", "v1.2")
	inspect(1)
	l.tagsHold(l.work())
	inspect(0)

	// No run would move the Git tag's image back, nor name an old commit.
	move("unet", "v1.2")
	remove("unet", "main-"+old.Short())
	inspect(0)
	if got := l.tagged("unet", "v1.2"); got != other {
		t.Errorf("unet:v1.2 is %s", got)
	}
	if asked := l.builds.take(); len(asked) > 0 {
		t.Errorf("built %v", asked)
	}
}
