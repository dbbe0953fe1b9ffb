package pgserver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestServerLogMapsSeverityAndKeepsTheLastSevereLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &serverLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	s.read(strings.NewReader("LOG:  quiet\nWARNING:  look\nFATAL:  first\n2026-01-02 03:04:05.678 UTC [7] FATAL:  second\n" + strings.Repeat("x", 2<<20) + "\nFATAL:  unread\n"))
	if got := s.lastSevere(); got != "second" {
		t.Errorf("last severe line = %q", got)
	}
	if text := out.String(); strings.Contains(text, "quiet") || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "level=ERROR") {
		t.Errorf("log = %s", text)
	}
}
