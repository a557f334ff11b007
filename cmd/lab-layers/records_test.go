package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordsOfAGivenDatabaseAreReadThere(t *testing.T) {
	t.Setenv("LAB_LAYERS_DATABASE_URL", "")
	flags := recordFlags{dataDir: t.TempDir()}
	text := `{"database_url": "postgres://lab@db:port/lab", "private": false}`
	if err := os.WriteFile(filepath.Join(flags.dataDir, startedFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flags.open(t.Context()); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("want an error about the database's URL: %v", err)
	}
	if _, err := os.Stat(filepath.Join(flags.dataDir, "postgresql")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a private cluster was made: %v", err)
	}
}
