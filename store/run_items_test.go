package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// items returns the external ids with which a run did op, page by page.
func items(t *testing.T, s *store.Store, run uuid.UUID, op string) string {
	t.Helper()
	var ids []string
	for after := int64(0); ; {
		page, err := s.RunItems(t.Context(), run, op, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page {
			if it.Op != op || it.At.IsZero() {
				t.Errorf("%+v among what is %s", it, op)
			}
			ids = append(ids, it.ExternalID)
			after = it.ID
		}
		if len(page) < 2 {
			return strings.Join(ids, " ")
		}
	}
}

// TestRunItemsStandBehindTheCounts: each of a run's counts has its list.
func TestRunItemsStandBehindTheCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	first := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: first, Documents: []store.DocumentWrite{
		document("a", readable("u"), "one"), document("b", readable("u"), "two"), document("c", readable("u"), "three"),
	}, Skips: []connectors.Skip{{Ref: connectors.ItemRef{ID: "s"}, Path: "s", Reason: "a picture"}}})
	s.end(t, first)
	second := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{
		Run: second, Documents: []store.DocumentWrite{document("b", readable("u"), "two more"), document("d", readable("u"), "four")},
		Quarantine: []store.QuarantineWrite{{ExternalID: "q", Path: "q", Reason: "broken"}, {ExternalID: "c", Path: "c", Reason: "broken"}},
	})
	s.mustWrite(t, &store.Batch{Run: second, Resting: []string{"q"}})
	for _, want := range []struct {
		run     uuid.UUID
		op, ids string
	}{
		{first.ID, store.ItemAdded, "a b c"},
		{first.ID, store.ItemUpdated, ""},
		{first.ID, store.ItemSkipped, "s"},
		{first.ID, store.ItemQuarantined, ""},
		{second.ID, store.ItemAdded, "d"},
		{second.ID, store.ItemUpdated, "b"},
		{second.ID, store.ItemSkipped, ""},
		{second.ID, store.ItemQuarantined, "c q q"},
	} {
		got := strings.Fields(items(t, r.store, want.run, want.op))
		slices.Sort(got)
		if strings.Join(got, " ") != want.ids {
			t.Errorf("%s: %v, want %s", want.op, got, want.ids)
		}
	}
	var input *store.InputError
	if _, err := r.store.RunItems(t.Context(), first.ID, "removed", 0, 1); !errors.As(err, &input) {
		t.Errorf("an unknown operation: %v", err)
	}
}

// TestRunLogIsBoundedAndClean: a full log says so once and still takes the end.
func TestRunLogIsBoundedAndClean(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	note := func(code, message string) {
		t.Helper()
		if err := r.store.NoteRun(t.Context(), run.ID, store.LevelInfo, code, message); err != nil {
			t.Fatal(err)
		}
	}
	note(store.EventRetry, "two\nlines\x1b[31m "+strings.Repeat("x", 3000))
	list, err := r.store.RunEvents(t.Context(), run.ID, 0, 10)
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	last := list[len(list)-1]
	if strings.ContainsAny(last.Message, "\n\x1b") || len(last.Message) > 510 || !strings.HasPrefix(last.Message, "two lines") {
		t.Errorf("message %q", last.Message)
	}
	r.db.MustExec(t, fmt.Sprintf(`INSERT INTO run_event (run_id, level, code, message) SELECT '%s', 'info', 'filler', '' FROM generate_series(1, 1997)`, run.ID))
	for range 5 {
		note(store.EventRetry, "again")
	}
	note(store.EventEnded, "succeeded")
	list, err = r.store.RunEvents(t.Context(), run.ID, list[0].ID, 5000)
	if err != nil || len(list) < 3 {
		t.Fatalf("%d events, %v", len(list), err)
	}
	end := list[len(list)-2:]
	if end[0].Code != "log_full" || end[0].Level != store.LevelWarning || end[1].Code != store.EventEnded || list[len(list)-3].Code == "log_full" {
		t.Errorf("a full log ends with %+v", end)
	}
	newest, err := r.store.NewestRunEvents(t.Context(), run.ID, 3)
	if err != nil || !slices.Equal(newest, list[len(list)-3:]) {
		t.Errorf("the newest three are %+v, %v", newest, err)
	}
	if err := r.store.NoteRun(t.Context(), uuid.New(), store.LevelInfo, store.EventRetry, "of nothing"); err != nil {
		t.Errorf("an event of a run that is gone: %v", err)
	}
}
