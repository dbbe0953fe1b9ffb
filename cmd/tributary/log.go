package main

import (
	"context"
	"log/slog"
)

// quietPostgres returns log for the managed PostgreSQL: errors of single
// statements are the business of whoever sent them, who reports them too.
func quietPostgres(log *slog.Logger) *slog.Logger { return slog.New(statementErrors{log.Handler()}) }

type statementErrors struct{ slog.Handler }

// Handle implements slog.Handler.
func (h statementErrors) Handle(ctx context.Context, r slog.Record) error {
	statement := false
	r.Attrs(func(a slog.Attr) bool {
		statement = statement || (a.Key == "severity" && a.Value.String() == "ERROR")
		return !statement
	})
	if statement && r.Level == slog.LevelWarn {
		r.Level = slog.LevelDebug
		if !h.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h statementErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return statementErrors{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h statementErrors) WithGroup(name string) slog.Handler {
	return statementErrors{h.Handler.WithGroup(name)}
}
