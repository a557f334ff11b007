package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/deploy"
)

// TestOneCluster has another cluster come before and after there is a rollout, and
// moves the records there.
func TestOneCluster(t *testing.T) {
	s := newStore(t)
	serve := func(uid string) error { return s.ServeCluster(t.Context(), uid) }
	for _, uid := range []string{"first", "first", "second"} { // nothing is recorded of the first
		if err := serve(uid); err != nil {
			t.Fatal(err)
		}
	}
	build(t, s, "refs/heads/main", "", "a", nil, "bert")
	must[deploy.Rollout](t)(s.Begin(t.Context(), rolls("x", "a")))
	if err := s.Saw(t.Context(), []deploy.Holding{{Node: "gpu-1", Digest: sum("a"), Seen: time.Now()}}, nil); err != nil {
		t.Fatal(err)
	}
	var other deploy.OtherCluster
	if err := serve("first"); !errors.As(err, &other) || other.Recorded != "second" || other.This != "first" || other.Since.IsZero() {
		t.Errorf("another cluster is served: %v", err)
	}
	if err := serve("second"); err != nil {
		t.Error(err)
	}

	led := func(want bool) {
		t.Helper()
		if must[bool](t)(s.Led(t.Context())) != want {
			t.Errorf("somebody deploys: %t", !want)
		}
	}
	led(false)
	leads, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.Lead(t.Context(), func(context.Context) error {
			close(leads)
			<-end
			return nil
		})
	}()
	<-leads
	led(true)
	if _, err := s.MoveCluster(t.Context(), "first"); !errors.As(err, new(Refusal)) {
		t.Errorf("it is moved while somebody deploys: %v", err)
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
	led(false)
	if before := must[string](t)(s.MoveCluster(t.Context(), "first")); before != "second" {
		t.Errorf("it was %q", before)
	}
	if err := serve("first"); err != nil {
		t.Error(err)
	}
	if err := serve("second"); !errors.As(err, &other) {
		t.Errorf("the cluster of before is served: %v", err)
	}
	if held := must[[]deploy.Holding](t)(s.Holdings(t.Context(), time.Hour)); len(held) != 0 {
		t.Errorf("nodes of before have %v", held)
	}
}
