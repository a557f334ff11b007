package clustertest

import (
	"context"
	"log/slog"
	"os"
)

// lines is a log that is a file of bare messages.
type lines struct{ file *os.File }

func openLines(path string) (lines, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return lines{f}, err
}

func (l lines) Handle(_ context.Context, r slog.Record) error {
	_, err := l.file.WriteString(r.Message + "\n")
	return err
}

func (lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l lines) WithGroup(string) slog.Handler          { return l }
