package buildkit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// processes returns the command lines that hold a text.
func processes(t testing.TB, text string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if data, err := os.ReadFile(line); err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, string(data))
		}
	}
	return found
}

// eventually waits for something that sends no word.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 seconds: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
