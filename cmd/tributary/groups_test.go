package main

import (
	"strconv"
	"strings"
	"testing"

	"tributary/jobs"
	"tributary/store"
)

// TestWhatPagesListFromTheCommandLine: groups with their members, jobs and queues, and for how long permissions count.
func TestWhatPagesListFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	docs := s.write("docs", map[string]string{"a.md": "# Heron\n\nThe heron stands in the river.\n"})
	if out := s.must(exitOK, "groups", "list").stdout; !strings.Contains(out, "No source has told a group.") {
		t.Errorf("without a source:\n%s", out)
	}
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	s.must(exitOK, "sync", "docs", "--wait")
	groups := mustJSON[[]store.ListedPrincipal](s, exitOK, "groups", "list", "--connection", "docs")
	if len(groups) == 0 || groups[0].Kind != "group" {
		t.Fatalf("groups: %+v", groups)
	}
	for _, g := range groups {
		id := strconv.FormatInt(g.ID, 10)
		members := mustJSON[[]store.ListedPrincipal](s, exitOK, "principals", "members", id)
		if int64(len(members)) != g.Members {
			t.Errorf("group %s has %d members, and %d are listed", g.ExternalID, g.Members, len(members))
		}
		for _, m := range members[:min(len(members), 1)] {
			if in := s.must(exitOK, "principals", "groups", strconv.FormatInt(m.ID, 10)).stdout; !strings.Contains(in, g.ExternalID) {
				t.Errorf("%s is in no group %s:\n%s", m.ExternalID, g.ExternalID, in)
			}
		}
	}
	if out := s.must(exitOK, "principals", "show", strconv.FormatInt(groups[0].ID, 10)).stdout; !strings.Contains(out, groups[0].ExternalID) || !strings.Contains(out, "none is linked to it") {
		t.Errorf("a group:\n%s", out)
	}
	s.must(exitUsage, "principals", "show", "docs")
	s.must(exitNotFound, "principals", "show", "987654")
	s.must(exitNotFound, "groups", "list", "--connection", "nowhere")

	if out := s.must(exitOK, "jobs", "list").stdout; !strings.Contains(out, "No job failed.") {
		t.Errorf("jobs:\n%s", out)
	}
	s.must(exitUsage, "jobs", "list", "--state", "asleep")
	s.must(exitUsage, "jobs", "retry", "one")
	s.must(exitNotFound, "jobs", "retry", "987654")
	if list := mustJSON[[]jobs.QueueState](s, exitOK, "queues", "list"); len(list) < 4 || list[0].Does == "" {
		t.Errorf("queues: %+v", list)
	}
	s.must(exitNotFound, "queues", "pause", "nosuchqueue")

	if out := s.must(exitOK, "connections", "permission-age", "docs", "--set", "48h").stdout; !strings.Contains(out, "count for 2d") {
		t.Errorf("permissions that count for two days:\n%s", out)
	}
	for _, wrong := range []string{"soon", "9m", "never"} {
		s.must(exitUsage, "connections", "permission-age", "docs", "--set", wrong)
	}
	if out := s.must(exitOK, "connections", "show", "docs").stdout; !strings.Contains(out, "permissions count for  2d") {
		t.Errorf("the connection:\n%s", out)
	}
	s.must(exitOK, "connect", "push", "--name", "wiki")
	if out := s.must(exitOK, "connections", "permission-age", "wiki").stdout; !strings.Contains(out, "as long as nothing else is pushed") {
		t.Errorf("what is pushed:\n%s", out)
	}
}
