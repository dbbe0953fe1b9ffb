package main

import (
	"strings"
	"testing"
)

// TestScheduleFromTheCommandLine changes when a connection syncs, and asks for a
// reconcile now.
func TestScheduleFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	docs := s.write("docs", map[string]string{"a.md": "# Heron\n\nThe heron stands in the river.\n"})
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	v := mustJSON[timetableView](s, exitOK, "connections", "schedule", "docs")
	if v.Changes.When != "15m" || v.Permissions.When != "5m" || v.Reconcile.When != "7d" || v.TimeZone != "UTC" || v.Changes.Next == nil || len(v.Quiet) != 0 {
		t.Errorf("a new connection: %+v", v)
	}
	v = mustJSON[timetableView](s, exitOK, "connections", "schedule", "docs",
		"--changes", "0 3 * * sun", "--permissions", "10m", "--time-zone", "Europe/Berlin", "--quiet", "mon-fri 08:00-18:00", "--quiet", "sat 00:00-24:00")
	if v.Changes.When != "0 3 * * sun" || v.Permissions.When != "10m" || v.TimeZone != "Europe/Berlin" || strings.Join(v.Quiet, "; ") != "mon,tue,wed,thu,fri 08:00-18:00; sat 00:00-24:00" {
		t.Errorf("changed: %+v", v)
	}
	if out := s.must(exitOK, "connections", "schedule", "docs", "--changes", "default", "--no-quiet").stdout; !strings.Contains(out, "15m") || strings.Contains(out, "Quiet hours") {
		t.Errorf("back to the defaults:\n%s", out)
	}
	for _, wrong := range [][]string{
		{"--changes", "5s"},
		{"--changes", "0 0 30 2 *"},
		{"--reconcile", "TZ=UTC @daily"},
		{"--time-zone", "Mars/Olympus"},
		{"--quiet", "noon"},
		{"--quiet", "22:00-06:00", "--no-quiet"},
		{"--quiet", "00:00-24:00"},
	} {
		s.must(exitUsage, append([]string{"connections", "schedule", "docs"}, wrong...)...)
	}
	s.must(exitOK, "sync", "docs", "--kind", "snapshot", "--wait")
	s.must(exitUsage, "sync", "docs", "--kind", "everything")
	if out := s.must(exitOK, "workers", "list").stdout; !strings.Contains(out, "Nothing syncs") {
		t.Errorf("without a process:\n%s", out)
	}
}
