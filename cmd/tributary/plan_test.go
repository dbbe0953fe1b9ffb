package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tributary/jobs"
	"tributary/store"
)

// TestPlanThenSync plans the sync of a folder, does it, and looks behind its counts.
func TestPlanThenSync(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	docs := s.write("docs", map[string]string{"a.md": "# A\n\nOne.\n", "b.md": "# B\n\nTwo.\n", "drafts/c.md": "# C\n\nThree.\n", "photo.png": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"})
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	plan := mustJSON[jobs.Plan](s, exitOK, "plan", "docs")
	if plan.Add != 3 || plan.Skipped != 1 || !plan.Complete || !plan.Exact || plan.Text.Opened != 3 || plan.Text.Tokens.Likely == 0 || plan.Readers.Documents != 3 {
		t.Errorf("plan: %+v", plan)
	}
	text := s.must(exitOK, "plan", "docs", "--exclude", "drafts/**", "--sample", "0").stdout
	if !strings.Contains(text, "with the selection and settings given") || !strings.Contains(text, "What they cost is unknown") || strings.Contains(text, "drafts/c.md") || !strings.Contains(text, "photo.png") {
		t.Errorf("the plan of another selection:\n%s", text)
	}
	if c := mustJSON[store.Connection](s, exitOK, "connections", "show", "docs"); len(c.Selection.Exclude) != 0 || c.ContentAsOf != nil {
		t.Errorf("a plan changed the connection: %+v", c)
	}
	s.must(exitUsage, "plan", "docs", "--snapshot", "--changes")
	s.must(exitUsage, "plan", "docs", "--changes")
	s.must(exitNotFound, "plan", "nothing")

	watch := s.must(exitOK, "sync", "docs", "--content", "--watch").stdout
	if !strings.Contains(watch, "docs snapshot: succeeded") && !strings.Contains(watch, "docs content: succeeded") {
		t.Errorf("the sync showed\n%s", watch)
	}
	runs := mustJSON[[]store.Run](s, exitOK, "runs", "list", "--connection", "docs", "--lane", "content")
	if len(runs) != 1 {
		t.Fatalf("%d runs", len(runs))
	}
	id := runs[0].ID.String()
	listed := mustJSON[struct {
		Items []store.RunItem `json:"items"`
		More  bool            `json:"more"`
	}](s, exitOK, "runs", "items", id, "--limit", "3")
	if len(listed.Items) != 3 || !listed.More || listed.Items[0].Op != store.ItemAdded {
		t.Errorf("items: %+v", listed)
	}
	if out := s.must(exitOK, "runs", "items", id, "--op", "skipped").stdout; !strings.Contains(out, "photo.png") {
		t.Errorf("skipped items:\n%s", out)
	}
	s.must(exitUsage, "runs", "items", id, "--op", "removed")
	log := s.must(exitOK, "runs", "log", id, "--follow").stdout
	if !strings.Contains(log, "slice_started") || !strings.Contains(log, "succeeded: 4 listed, +3 ~0 -0 !0") {
		t.Errorf("the log:\n%s", log)
	}
	if out := s.must(exitOK, "runs", "show", id).stdout; !strings.Contains(out, "+3 ~0 -0 !0") {
		t.Errorf("the run:\n%s", out)
	}
	if out := s.must(exitOK, "runs", "watch", id).stdout; !strings.Contains(out, "docs snapshot: succeeded, 4 listed") {
		t.Errorf("watching what has ended:\n%s", out)
	}
	s.must(exitConflict, "runs", "cancel", id)
	if again := mustJSON[jobs.Plan](s, exitOK, "plan", "docs"); again.Add+again.Update+again.Hide != 0 || again.Unchanged != 3 {
		t.Errorf("a plan after the sync: %+v", again)
	}
}

// TestWatchAndCancel leaves a run alone when the watching ends, and cancels one that waits.
func TestWatchAndCancel(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	files := map[string]string{}
	for i := range 5 {
		files[fmt.Sprintf("%d.md", i)] = "# A file\n\nIts text.\n"
	}
	docs := s.write("docs", files)
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	s.must(exitOK, "sync", "docs", "--content")
	watch := s.start("runs", "watch", "docs")
	watch.await("docs snapshot: queued, 0 listed")
	if code := watch.stop(); code != exitInterrupted || !strings.Contains(watch.out.String(), "The runs go on. To end one: tributary runs cancel ") {
		t.Errorf("exit code %d:\n%s", code, watch.out)
	}
	runs := mustJSON[[]store.Run](s, exitOK, "runs", "list")
	if len(runs) != 1 || !runs[0].State.Live() {
		t.Fatalf("after the watching: %+v", runs)
	}
	if r := mustJSON[store.Run](s, exitOK, "runs", "cancel", runs[0].ID.String()); r.State != store.RunCancelled {
		t.Errorf("the run is %s", r.State)
	}
	if out := s.must(exitFailure, "runs", "watch", runs[0].ID.String()).stdout; !strings.Contains(out, "cancelled") {
		t.Errorf("watching what was cancelled:\n%s", out)
	}
	if out := s.must(exitOK, "runs", "watch").stderr; !strings.Contains(out, "No run is under way") {
		t.Errorf("watching nothing:\n%s", out)
	}
	s.must(exitNotFound, "runs", "watch", filepath.Base(docs)+"x")
}
