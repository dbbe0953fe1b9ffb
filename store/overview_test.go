package store_test

import (
	"testing"

	"tributary/connectors"
	"tributary/store"
)

// TestConnectionOverviews: the list says of each connection what is said of it alone.
func TestConnectionOverviews(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	full, empty := r.connect(t, "full", "org"), r.connect(t, "empty", "org")
	full.list(t, store.DefaultSweepRules(), false, nil, "a", "b", "c", "d")
	full.list(t, store.DefaultSweepRules(), false, nil, "a", "b", "c")
	run := full.start(t, store.Content)
	full.mustWrite(t, &store.Batch{
		Run: run, Skips: []connectors.Skip{{Ref: connectors.ItemRef{ID: "s"}, Reason: "no document"}, {Ref: connectors.ItemRef{ID: "s2"}, Reason: "no document"}, {Ref: connectors.ItemRef{ID: "s3"}, Reason: "no document"}},
		Quarantine: []store.QuarantineWrite{{ExternalID: "q", Path: "q", Reason: "broken"}, {ExternalID: "q2", Path: "q2", Reason: "broken"}},
	})
	full.start(t, store.Permissions)
	r.db.MustExec(t, `INSERT INTO exclusion (connection_id, id_hash, why) VALUES ($1, sha256('a'), 'excluded'), ($1, sha256('b'), 'erased')`, full.conn)
	list, err := r.store.ConnectionOverviews(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "empty" || list[1].Name != "full" {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, s := range []*source{empty, full} {
		totals, err := r.store.Totals(t.Context(), s.conn)
		if err != nil || totals != list[i].Totals || list[i].ID != s.conn {
			t.Errorf("%s: %+v in the list, %+v alone, %v", list[i].Name, list[i].Totals, totals, err)
		}
	}
	if got := list[1].Totals; got.Documents != 3 || got.Hidden != 1 || got.Chunks != 3 || got.Quarantined != 2 || got.Skipped != 3 || got.Excluded != 1 {
		t.Errorf("totals %+v", got)
	}
	if list[0].LastRun != "" || list[1].LastRun != store.RunRunning {
		t.Errorf("the newest runs: %q and %q", list[0].LastRun, list[1].LastRun)
	}
}
