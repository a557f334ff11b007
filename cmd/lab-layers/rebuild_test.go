package main

import (
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// TestRebuild holds that all is built anew once for each time that is due, though
// nothing moved, and that the records say so.
func TestRebuild(t *testing.T) {
	l := newLab(t)
	l.pushed()
	export := usualExport()
	export.rebuild.expression = "CRON_TZ=UTC 0 3 * * *"
	l.check(export.check())
	now := time.Now().Add(48 * time.Hour)
	settings := export.settings()
	settings.Salt = func() string { return export.rebuild.salt(now) }
	l.agent.Carrier.Planner = layers.NewPlanner(nil, settings)
	l.agent.Carrier.Salt = export.rebuild.salt
	again := func() string {
		l.builds.take()
		l.check(l.agent.Refresh(l.Context()))
		return l.built(l.work())
	}
	if got := again(); got != everything {
		t.Errorf("built %q", got)
	}
	why := "schedule: it is built anew as scheduled, since " + settings.Salt()
	l.told(map[layers.Name]string{
		"base": why, "pytorch": why, "tensorflow": why, "resnet50": why,
		"yolov7": why, "gpt-2": why, "bert-base": why, "unet": why,
	})
	if got := again(); got != "" {
		t.Errorf("built %q at the same salt", got)
	}
}

// TestRebuildSalt holds that whoever has the same expression has the same salt,
// and that times which count from a start are refused.
func TestRebuildSalt(t *testing.T) {
	r := rebuildTimes{expression: "CRON_TZ=Europe/Vienna 0 3 * * 0"}
	if err := r.parse(); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))
	for range 3 {
		if got := r.salt(now); got != "2026-11-22T02:00:00Z" {
			t.Errorf("the salt of %s is %q", now, got)
		}
		now = now.Add(24 * time.Hour).UTC()
	}
	if got := (rebuildTimes{}).salt(now); got != "" {
		t.Errorf("the salt of never is %q", got)
	}
	every := rebuildTimes{expression: "@every 6h"}
	if err := every.parse(); err == nil || !strings.Contains(err.Error(), "@weekly") {
		t.Errorf("@every: %v", err)
	}
}
