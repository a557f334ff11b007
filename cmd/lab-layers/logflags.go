package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

// logFlags say how to log.
type logFlags struct {
	json  bool
	debug bool
	quiet bool // only what is wrong
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "log-json", false, "log in JSON")
	cmd.Flags().BoolVar(&f.debug, "debug", false, "log what the parts print, too")
}

func (f *logFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.quiet {
		options.Level = slog.LevelWarn
	}
	if f.debug {
		options.Level = slog.LevelDebug
	}
	if f.json {
		return slog.New(slog.NewJSONHandler(inertJSON{w}, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
