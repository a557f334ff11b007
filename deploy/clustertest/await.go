package clustertest

import (
	"context"
	"testing"
	"time"
)

const (
	awaitLimit = 2 * time.Minute
	awaitPause = 20 * time.Millisecond
)

// Await repeats try until it succeeds, and fails the test with its last error
// after two minutes. The controllers need some tenths of a second.
func Await(t testing.TB, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", awaitLimit, what, last)
		case <-time.After(awaitPause):
		}
	}
}
