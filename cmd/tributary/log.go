package main

import (
	"context"
	"log/slog"
)

// quietPostgres returns log for the managed PostgreSQL: errors of single
// statements are the business of whoever sent them, who reports them too, and a
// connection that is cut at the end is no news.
func quietPostgres(log *slog.Logger) *slog.Logger { return slog.New(statementErrors{log.Handler()}) }

// cutConnection is what a stopping server says for each connection that is
// still open; the server speaks the C locale.
const cutConnection = "terminating connection due to administrator command"

type statementErrors struct{ slog.Handler }

// Handle implements slog.Handler.
func (h statementErrors) Handle(ctx context.Context, r slog.Record) error {
	quiet := false
	r.Attrs(func(a slog.Attr) bool {
		quiet = (a.Key == "severity" && a.Value.String() == "ERROR") || (a.Key == "message" && a.Value.String() == cutConnection)
		return !quiet
	})
	if quiet {
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
