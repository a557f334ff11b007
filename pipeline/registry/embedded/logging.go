package embedded

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/sirupsen/logrus"
)

// hook passes logrus entries on. What is no fault of the registry itself, as a
// request for something that is not there, is for debugging.
type hook struct{ log *slog.Logger }

func (h hook) Levels() []logrus.Level { return logrus.AllLevels }

func (h hook) Fire(entry *logrus.Entry) error {
	ctx := context.Background()
	level := slog.LevelDebug
	if status, _ := entry.Data["http.response.status"].(int); entry.Level <= logrus.ErrorLevel && (status == 0 || status >= 500) {
		level = slog.LevelWarn
	}
	if !h.log.Enabled(ctx, level) {
		return nil
	}
	attrs := []slog.Attr{slog.String("event", entry.Message)}
	for _, field := range []string{"http.request.method", "http.request.uri", "http.response.status", "err.code", "err.message", "err.detail"} {
		if value, ok := entry.Data[field]; ok {
			attrs = append(attrs, slog.Any(field, value))
		}
	}
	h.log.LogAttrs(ctx, level, "embedded registry", attrs...)
	return nil
}

// loggedContext gives distribution its logger. Distribution looks for one in
// its contexts, but the key is a type of an internal package, and its public
// way to set another is to change the one of the whole process.
type loggedContext struct {
	context.Context
	entry *logrus.Entry
}

func (c loggedContext) Value(key any) any {
	t := reflect.TypeOf(key)
	if t != nil && t.Name() == "loggerKey" && t.PkgPath() == "github.com/distribution/distribution/v3/internal/dcontext" {
		return c.entry
	}
	return c.Context.Value(key)
}
