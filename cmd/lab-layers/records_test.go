package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecordsOfAGivenDatabase holds that they are not looked for in a private
// cluster, and that the URL of theirs is asked for: it is written down nowhere.
func TestRecordsOfAGivenDatabase(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	flags := recordFlags{dataDir: t.TempDir()}
	text := `{"private": false}`
	if err := os.WriteFile(filepath.Join(flags.dataDir, startedFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flags.open(t.Context()); exitCode(err) != exitInput || !strings.Contains(err.Error(), "--database-url") {
		t.Errorf("want an error that asks for the database: %v", err)
	}
	if _, err := os.Stat(filepath.Join(flags.dataDir, "postgresql")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a private cluster was made: %v", err)
	}
}
