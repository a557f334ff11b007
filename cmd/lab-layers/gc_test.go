package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/cleanup"
	"github.com/lab-layers/lab-layers/pipeline/registry"
)

// cleaner keeps nothing for its age, and frees the blobs.
func (l *lab) cleaner(last int) *cleanup.Cleaner {
	l.Helper()
	client, err := registry.New(registry.Options{Keychain: shared.stack.keychain})
	l.check(err)
	keeps := cleanupFlags{last: last}
	return keeps.cleaner(l.store, client, l.prefix, shared.stack.sweep(), slog.New(slog.DiscardHandler))
}

// TestCleanUp removes a deleted branch's own image and no more, and can build it
// again on what is left.
func TestCleanUp(t *testing.T) {
	l := newLab(t)
	l.pushed()
	l.git("checkout", "-q", "-b", "feature/x")
	// Content of its own: what another test's repository in the registry shares
	// is not freed.
	l.replace("experiments/unet/hparams.json", "{", "{ \n\t \n")
	v := l.push("refs/heads/feature/x")
	var unet agent.Tag
	for _, tag := range v.Tags {
		if tag.Layer == "unet" {
			unet = tag
		}
	}
	none := func(list []cleanup.Deletion, err error) {
		t.Helper()
		l.check(err)
		if len(list) > 0 && list[0].Kind != "blobs" {
			t.Errorf("would remove %+v", list)
		}
	}
	none(l.cleaner(1).Plan(t.Context()))
	none(l.cleaner(1).Clean(t.Context()))

	l.git("push", "-q", "origin", ":refs/heads/feature/x")
	l.check(l.agent.Look(t.Context(), l.agent.Sources[0]))
	plan, err := l.cleaner(1).Plan(t.Context())
	l.check(err)
	done, err := l.cleaner(1).Clean(t.Context())
	l.check(err)
	if len(plan) != 9 || len(done) != 10 || done[9].Kind != "blobs" || done[9].Size == 0 {
		t.Errorf("planned %d: %+v\nand did %d: %+v", len(plan), plan, len(done), done)
	}
	for i, d := range plan {
		if d != done[i] || (d.Kind == "image") != (i == 8) || d.Kind == "tag" && !strings.Contains(d.What, ":feature-x") || d.Kind == "image" && d.What != "unet@"+unet.Digest.String() {
			t.Errorf("planned %+v, did %+v", d, done[i])
		}
	}
	client := l.cleaner(1).Registry
	if _, there, err := client.Digest(t.Context(), unet.Repository, unet.Digest.String()); there || err != nil {
		t.Errorf("the image is there still, %v", err)
	}
	l.check(l.agent.Inspect(t.Context(), l.agent.Sources[0]))
	if worked, err := l.agent.Work(t.Context()); worked || err != nil {
		t.Errorf("something of main was lost, %v", err)
	}
	none(l.cleaner(1).Plan(t.Context()))

	v = l.push("refs/heads/feature/x")
	if got := l.built(v); v.State != agent.Succeeded || got != "unet" {
		t.Errorf("again: %s %s, built %q", v.State, v.Reason, got)
	}
	l.sharesBlobs(v)
	l.check(l.agent.Inspect(t.Context(), l.agent.Sources[0]))
	if worked, err := l.agent.Work(t.Context()); worked || err != nil {
		t.Errorf("something of the branch is not there, %v", err)
	}
}

// TestCleanUpOldCommits keeps of main what it is to keep: a new base has a new
// image of everything, and the old go, parents and children.
func TestCleanUpOldCommits(t *testing.T) {
	l := newLab(t)
	l.pushed()
	l.replace("images/base/lab-check", "\n", "\n\n")
	l.pushed()
	list, err := l.cleaner(2).Plan(t.Context())
	l.check(err)
	if len(list) != 0 {
		t.Errorf("of the last two would go %+v", list)
	}
	list, err = l.cleaner(1).Clean(t.Context())
	l.check(err)
	kinds := map[string]int{}
	for _, d := range list {
		kinds[d.Kind]++
	}
	if kinds["tag"] != 8 || kinds["image"] != 8 {
		t.Errorf("%v went", kinds)
	}
	l.check(l.agent.Inspect(t.Context(), l.agent.Sources[0]))
	if worked, err := l.agent.Work(t.Context()); worked || err != nil {
		t.Errorf("something of the kept commit was lost, %v", err)
	}
}

// TestCleanUpCommand has the agent that runs do the work, as only that may write
// to its registry.
func TestCleanUpCommand(t *testing.T) {
	shared.open(t)
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	gc := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot(&out, &out)
		root.SetArgs(append([]string{"gc", "--data-dir", shared.flags().dataDir}, args...))
		err := root.Execute()
		return out.String(), err
	}
	if out, err := gc(); err == nil || !strings.Contains(err.Error(), "only it may write to its registry") {
		t.Errorf("with nobody to ask: %s: %v", out, err)
	}
	dataDir := shared.flags().dataDir
	stop, err := shared.stack.serveControl(dataDir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := gc(); err != nil || !strings.Contains(out, "no manifest needs them") {
		t.Errorf("%s: %v", out, err)
	}
	if info, err := os.Stat(filepath.Join(dataDir, controlDir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("who may ask: %v, %v", info, err)
	}
	// A build keeps clean-up off, and so the agent that is asked.
	end, err := shared.stack.store.Building(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := gc("--wait", "0s"); exitCode(err) != exitOutside || !strings.Contains(err.Error(), "nothing can be removed now") {
		t.Errorf("while a build is at work: %s: %v", out, err)
	}
	end()
	stop(t.Context())
	if _, err := gc("--dry-run"); err != nil {
		t.Error(err)
	}
	if _, err := gc("--keep", "0"); exitCode(err) != exitInput {
		t.Error(err)
	}
	flags := scheduleFlags{gc: "@daily", keeps: cleanupFlags{last: 20, minAge: time.Hour}}
	if err := flags.clean(t.Context(), shared.stack, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
