package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitDataDir waits for a command that works on the data directory, and not for
// one that goes on.
func TestAwaitDataDir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		unlock, err := lockDataDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		log := slog.New(slog.NewTextHandler(&said, nil))
		_, err = awaitDataDir(t.Context(), dir, log)
		if err == nil || exitCode(err) != exitOutside || !strings.Contains(err.Error(), "another lab-layers works on "+dir) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("it is refused: %v, after %s", err, said.String())
		}
		time.AfterFunc(lockWait/2, unlock)
		locked, err := awaitDataDir(t.Context(), dir, log)
		if err != nil {
			t.Fatal(err)
		}
		locked()
	})
}
