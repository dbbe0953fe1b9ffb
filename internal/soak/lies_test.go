package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/internal/sandbox"
	"tributary/jobs"
	"tributary/store"
)

// onDrive is a connection to a Sandbox Drive over HTTP, synced once.
func onDrive(t *testing.T, choose func(d *drive) connectors.Selection) (*story, *drive) {
	t.Helper()
	s := &story{bench: newBench(t), ctx: t.Context(), seed: 2, random: rand.New(rand.NewPCG(2, 7))}
	s.hits, s.ends = map[hit]int{}, map[store.RunState]int{}
	d, err := newDrive(s.random)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	d.page, s.source = 5, d
	c := d.connector()
	s.runner, err = jobs.New(jobs.Config{
		Store: s.store, Extractor: extract.New(extract.Config{}), Connectors: map[string]connectors.Connector{c.Spec().Source: c}, Authorise: d.authorise,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.conn, err = s.store.CreateConnection(s.ctx, store.NewConnection{Name: "drive", Source: c.Spec().Source, Settings: d.settings(), Selection: choose(d)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range s.problems {
			t.Error(err)
		}
	})
	if run := s.list(); run.State != store.RunSucceeded {
		t.Fatalf("the first run ended %s: %s", run.State, run.Error)
	}
	return s, d
}

func all(*drive) connectors.Selection { return connectors.Selection{} }

func (s *story) list() store.Run { return s.sync(store.RunSnapshot) }

// sync runs the content to its end.
func (s *story) sync(kind store.RunKind) store.Run {
	run, _, err := s.store.RequestRun(s.ctx, store.RunRequest{ConnectionID: s.conn.ID, Lane: store.Content, Kind: kind, Cause: "test"}, nil)
	if err == nil {
		run, err = s.runner.RunHere(s.ctx, run.ID, nil)
	}
	if err != nil {
		s.fail("running %s: %w", kind, err)
	}
	return run
}

// shown are the ids of the documents that are not hidden.
func (s *story) shown() []string {
	var ids []string
	for id, d := range s.stored(s.conn) {
		if d.Hidden == "" {
			ids = append(ids, id)
		}
	}
	return slices.Sorted(slices.Values(ids))
}

// TestDriveThatLies says that it is complete, and is not: nothing is hidden or
// purged, what is missing waits in a plan with a notice, and approving it purges
// exactly that.
func TestDriveThatLies(t *testing.T) {
	t.Parallel()
	for lie, reason := range map[trouble]store.HoldReason{empty: store.HoldEmpty, half: store.HoldMany} {
		t.Run(string(lie), func(t *testing.T) {
			t.Parallel()
			s, d := onDrive(t, all)
			before := s.shown()
			d.gate.add(rule{kind: lie, on: onItems, from: 1})
			for range 3 {
				run := s.list()
				if c := run.Counts; run.State != store.RunPartial || c.Hidden+c.Purged != 0 || c.Held == 0 || !slices.Equal(s.shown(), before) {
					t.Fatalf("it ended %s with %+v, and %d of %d are shown", run.State, c, len(s.shown()), len(before))
				}
				s.advance(2 * time.Hour)
			}
			holds, err := s.store.Holds(s.ctx, store.HoldFilter{Connection: s.conn.ID, State: store.HoldOpen})
			if err != nil || len(holds) != 1 || holds[0].Reason != reason {
				t.Fatalf("holds %+v: %v", holds, err)
			}
			if n, err := s.store.Notices(s.ctx, store.NoticeFilter{Connection: s.conn.ID, Code: store.NoticeDeletionsHeld}); err != nil || len(n) != 1 {
				t.Errorf("notices %+v: %v", n, err)
			}
			held, err := s.store.HeldDocuments(s.ctx, holds[0].ID, uuid.Nil, 1000)
			if err != nil || int64(len(held)) != holds[0].Documents {
				t.Fatalf("%d held documents of %d: %v", len(held), holds[0].Documents, err)
			}
			if _, err = s.store.ApproveHold(s.ctx, holds[0].ID, "ann"); err == nil {
				_, err = s.store.PurgeApproved(s.ctx, holds[0].ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			left := slices.DeleteFunc(slices.Clone(before), func(id string) bool {
				return slices.ContainsFunc(held, func(h store.HeldDocument) bool { return h.ExternalID == id })
			})
			if stored := slices.Sorted(maps.Keys(s.stored(s.conn))); !slices.Equal(stored, left) || len(left)+len(held) != len(before) {
				t.Errorf("%d documents are left, want %d", len(stored), len(left))
			}
			d.mend()
			if run := s.list(); run.State != store.RunSucceeded || !slices.Equal(s.shown(), before) {
				t.Errorf("a clean listing ended %s: %s, and %d of %d are shown", run.State, run.Error, len(s.shown()), len(before))
			}
		})
	}
}

// TestDriveWhoseListingBreaks before its end tells nothing of deletions, though
// one document is gone indeed.
func TestDriveWhoseListingBreaks(t *testing.T) {
	t.Parallel()
	for what, disturb := range map[string]func(d *drive, last int){
		"403 on the last page": func(d *drive, last int) {
			d.gate.add(rule{kind: forbidden, on: onItems, from: last, status: http.StatusForbidden})
		},
		"410 on the last page":    func(d *drive, last int) { d.gate.add(rule{kind: expired, on: onItems, from: last, times: 1}) },
		"pages in a loop":         func(d *drive, last int) { d.gate.add(rule{kind: looping, on: onItems, from: last}) },
		"empty pages without end": func(d *drive, _ int) { d.faults.Every(sandbox.ItemsEmpty, 1) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, d := onDrive(t, all)
			if err := d.world.Delete(d.of("file")[0]); err != nil {
				t.Fatal(err)
			}
			before := s.shown()
			disturb(d, (len(d.world.Items())+d.page-1)/d.page)
			run := s.list()
			if c := run.Counts; run.State == store.RunSucceeded || run.State == store.RunPartial || c.Hidden+c.Purged+c.Held != 0 || !slices.Equal(s.shown(), before) {
				t.Errorf("it ended %s with %+v: %s", run.State, c, run.Error)
			}
			d.mend()
			s.advance(2 * time.Hour)
			if run := s.list(); run.Counts.Hidden != 1 || len(s.shown()) != len(before)-1 {
				t.Errorf("a clean listing hides %d: %s", run.Counts.Hidden, run.Error)
			}
		})
	}
}

// TestDriveWithOneUnreadableFile: it is hidden, the run says so, and what was
// deleted elsewhere is hidden and purged as ever.
func TestDriveWithOneUnreadableFile(t *testing.T) {
	t.Parallel()
	for _, kind := range []sandbox.Kind{sandbox.ContentForbidden, sandbox.ContentError, sandbox.ContentTruncated} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			s, d := onDrive(t, all)
			files := d.of("file")
			d.faults.OnItem(kind, files[0])
			if err := d.world.Edit(files[0], "# Edited\n"); err != nil {
				t.Fatal(err)
			}
			if err := d.world.Delete(files[1]); err != nil {
				t.Fatal(err)
			}
			for i, want := range []int64{0, 1} {
				run := s.list()
				if c := run.Counts; run.State != store.RunPartial || c.Purged != want || c.Quarantined+c.Refused != 1 || c.Held != 0 {
					t.Errorf("listing %d ended %s with %+v: %s", i, run.State, c, run.Error)
				}
				s.advance(61 * time.Minute)
			}
			stored := s.stored(s.conn)
			if _, ok := stored[files[1]]; ok || len(stored) != len(files)-1 || (stored[files[0]].Hidden == "refused") != (kind == sandbox.ContentForbidden) {
				t.Errorf("%d documents are stored, the unreadable one hidden %q", len(stored), stored[files[0]].Hidden)
			}
			d.mend()
			if run := s.list(); run.State != store.RunSucceeded || len(s.shown()) != len(files)-1 {
				t.Errorf("it can be read and the run ended %s: %s", run.State, run.Error)
			}
		})
	}
}

// TestDriveWithAClosedFolder between a chosen folder and its documents: none of
// them is hidden or purged, in a listing, by the feed or by a reconcile, nobody
// reads them meanwhile, and what is deleted elsewhere goes.
func TestDriveWithAClosedFolder(t *testing.T) {
	t.Parallel()
	var top, mid string
	var below []string
	s, d := onDrive(t, func(d *drive) connectors.Selection {
		r := rand.New(rand.NewPCG(3, 3))
		var err error
		folder := func(parent string) string {
			it := d.file(r, parent)
			it.Kind, it.ID, it.Body, it.Name = "folder", "", "", "Within "+parent
			id, e := d.world.Create(it)
			err = errors.Join(err, e)
			return id
		}
		top = folder("")
		mid = folder(top)
		for _, parent := range []string{top, top, top, mid, mid, folder(mid)} {
			id, e := d.world.Create(d.file(r, parent))
			err = errors.Join(err, e)
			if parent != top {
				below = append(below, id)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return connectors.Selection{Containers: []string{top}}
	})
	before := s.shown()
	if len(before) != 6 {
		t.Fatalf("%d documents are selected", len(before))
	}
	open := d.gate.drive
	d.gate.drive = closedFolder(open, mid)
	beside := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return slices.Contains(below, id) })
	if err := d.world.Edit(below[0], "# Edited\n"); err != nil {
		t.Fatal(err)
	}
	if run := s.sync(store.RunChanges); run.State != store.RunPartial || run.Counts.Blocked != 1 || len(s.shown()) != 6 {
		t.Errorf("the feed ended %s with %+v, and %d are shown", run.State, run.Counts, len(s.shown()))
	}
	if err := d.world.Delete(beside[0]); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		kind           store.RunKind
		hidden, purged int64
	}{{store.RunSnapshot, 1, 0}, {store.RunReconcile, 0, 0}, {store.RunSnapshot, 0, 1}} {
		run := s.sync(want.kind)
		if c := run.Counts; run.State != store.RunPartial || c.Blocked != 1 || c.Hidden != want.hidden || c.Purged != want.purged {
			t.Errorf("listing %d ended %s with %+v: %s", i, run.State, c, run.Error)
		}
		s.advance(4 * 24 * time.Hour)
	}
	if n := len(s.shown()); n != 5 {
		t.Errorf("%d documents are shown, want 5", n)
	}
	d.gate.drive = open
	if run := s.list(); run.State != store.RunSucceeded || len(s.shown()) != 5 {
		t.Errorf("it opens and the run ended %s: %s", run.State, run.Error)
	}
	if d := s.stored(s.conn)[below[0]]; d.Text != "# Edited" {
		t.Errorf("its text is %.40q", d.Text)
	}
}

// closedFolder leaves a folder out of listings and answers 403 for it.
func closedFolder(drive http.Handler, id string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/items/"+id) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if placeOf(r.URL.Path) != onItems {
			drive.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		drive.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		var page map[string]any
		if json.NewDecoder(bytes.NewReader(body)).Decode(&page) == nil {
			rows, _ := page["items"].([]any)
			page["items"] = slices.DeleteFunc(rows, func(row any) bool { it, _ := row.(map[string]any); return it["id"] == id })
			if out, err := json.Marshal(page); err == nil {
				body = out
			}
		}
		copyAnswer(w, rec, body)
	})
}
