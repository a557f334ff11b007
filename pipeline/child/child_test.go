package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOutputKeepsTheEnd(t *testing.T) {
	var o output
	for i := range 100 {
		fmt.Fprintf(&o, "li")
		fmt.Fprintf(&o, "ne %d\n%s\n", i, strings.Repeat("x", 2*maxLine))
	}
	lines := o.last()
	if len(lines) != keptLines || lines[keptLines-2] != "line 99" || len(lines[keptLines-1]) != maxLine {
		t.Errorf("%d lines, %q, the last of %d bytes", len(lines), lines[keptLines-2], len(lines[keptLines-1]))
	}
}

func TestProcess(t *testing.T) {
	started := func(script string) *Process {
		p, err := Start(exec.Command("sh", "-c", script), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		return p
	}
	never := errors.New("not yet")

	failing := started("echo because of this; exit 3")
	if err := failing.Await(t.Context(), func(context.Context) error { return never }); err == nil || err.Error() != "it ended at once" {
		t.Errorf("awaited a process that ends: %v", err)
	}
	if err := failing.Because(never); !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "because of this") || !failing.Said("of this") {
		t.Errorf("it ended: %v", err)
	}
	if _, err := Start(exec.Command("/does/not/exist"), nil); err == nil {
		t.Error("a program that is not there was started")
	}

	deaf := started("trap '' TERM; echo ready; while :; do sleep 0.01; done")
	if err := deaf.Await(t.Context(), func(context.Context) error {
		if deaf.Said("ready") {
			return nil
		}
		return never
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := deaf.Await(ctx, func(context.Context) error { return never }); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, never) {
		t.Errorf("awaited what does not come: %v", err)
	}
	if deaf.End(ctx, syscall.SIGTERM) {
		t.Error("a process ended that does not listen")
	}
	deaf.Kill()
	if deaf.Exit() == nil {
		t.Error("a killed process ended well")
	}
}

// TestLock sees that a lock is free once the last process that inherited it is
// gone.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	taken := errors.New("it is taken")
	ours := open()
	if err := Lock(t.Context(), ours, time.Second, taken); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	cmd.ExtraFiles = []*os.File{ours}
	heir, err := Start(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	other := open()
	if err := Lock(t.Context(), other, 20*time.Millisecond, taken); !errors.Is(err, taken) {
		t.Errorf("the lock of a child that lives: %v", err)
	}
	heir.Kill()
	if err := Lock(t.Context(), other, time.Second, taken); err != nil {
		t.Errorf("the lock of a child that is gone: %v", err)
	}
}
