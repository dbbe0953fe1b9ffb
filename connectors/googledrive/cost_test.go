package googledrive

import (
	"fmt"
	"testing"
)

// TestQuietRunCost prints and bounds what an incremental run asks for when
// nothing has happened: one request for each log, and the list of drives.
func TestQuietRunCost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 30 {
		r.put(t, fmt.Sprintf("%s/doc-%02d.md", []string{"a", "a/deep", "b", "c"}[i%4], i))
	}
	r.mu.Lock()
	r.comeOrGo()
	drives := len(r.drives)
	r.mu.Unlock()
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := r.requests()
	if page := read(t, r.open(t).Changes(t.Context(), start)); len(page.Changes) > 0 || page.Next != nil {
		t.Errorf("a quiet run has %d changes and the cursor %s", len(page.Changes), page.Next)
	}
	asked := r.requests() - before
	t.Logf("a quiet incremental run over %d shared drives: %d requests", drives, asked)
	if asked > drives+2 {
		t.Errorf("%d requests, at most %d: %v", asked, drives+2, r.asked[before:])
	}
}

// TestSnapshotCost bounds a snapshot: a list of folders and one of files for
// each corpus, and nothing for each file.
func TestSnapshotCost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const files = 400
	for i := range files {
		r.put(t, fmt.Sprintf("%s/doc-%03d.md", []string{"a", "a/deep", "b", "b/x", "b/x/y", "c"}[i%6], i))
	}
	cfg := r.config()
	cfg.PageSize = 1000
	opened, err := New(cfg).Open(t.Context(), r.env)
	if err != nil {
		t.Fatal(err)
	}
	before := r.requests()
	page := read(t, opened.Snapshot(t.Context(), nil))
	asked := r.requests() - before
	t.Logf("a snapshot of %d files: %d requests", len(page.Changes), asked)
	if len(page.Changes) != files || asked > 6 {
		t.Errorf("%d files by %d requests: %v", len(page.Changes), asked, r.asked[before:])
	}
}

// TestPermissionChangeDownloadsNothing holds the revision to what the bytes
// are.
func TestPermissionChangeDownloadsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := []string{r.put(t, "b/bytes.md"), r.put(t, "a/deep/native.md")}
	before := read(t, r.open(t).Snapshot(t.Context(), nil))
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := r.Share(id, "all"); err != nil {
			t.Fatal(err)
		}
	}
	after := read(t, r.open(t).Changes(t.Context(), start))
	for _, id := range ids {
		old, now := find(t, before, id), find(t, after, id)
		if old.Ref != now.Ref {
			t.Errorf("shared, and the revision went from %q to %q", old.Ref.Revision, now.Ref.Revision)
		}
		if readers(old.ACL) == readers(now.ACL) {
			t.Errorf("shared, and the readers are still %s", readers(now.ACL))
		}
	}
}
