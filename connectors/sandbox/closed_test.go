package sandbox

import (
	"iter"
	"maps"
	"slices"
	"testing"

	"tributary/connectors"
)

// read joins the pages of a listing; its changes are named by their items' ids.
func read(t *testing.T, pages iter.Seq2[connectors.Page, error]) (connectors.Page, map[string]connectors.Change) {
	t.Helper()
	var all connectors.Page
	changes := map[string]connectors.Change{}
	for page, err := range pages {
		if err != nil {
			t.Fatal(err)
		}
		all.Blocked, all.Containers, all.Complete = append(all.Blocked, page.Blocked...), append(all.Containers, page.Containers...), page.Complete
		for _, c := range page.Changes {
			changes[c.Ref.ID] = c
		}
	}
	return all, changes
}

// TestFolderThatAnswers403: whether what lies below it is selected cannot be
// told. It is listed, nobody reads it meanwhile, and the folder is named; what
// lies elsewhere is listed as ever.
func TestFolderThatAnswers403(t *testing.T) {
	t.Parallel()
	s, session := started(t, func(e *connectors.Env) { e.Selection.Containers = []string{"itm-0001"} })
	one, two, three := fileCalled(t, s, "a/one.md"), fileCalled(t, s, "a/deep/two.md"), fileCalled(t, s, "b/three.md")
	deep := s.items[two].parent
	start, err := session.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, changes := read(t, session.Snapshot(t.Context(), nil))
	if places := []connectors.Place{{ID: "itm-0001", Parent: rootContainer}, {ID: deep, Parent: "itm-0001"}}; !slices.Contains(all.Containers, places[0]) || !slices.Contains(all.Containers, places[1]) {
		t.Fatalf("containers %v, want %v among them", all.Containers, places)
	}
	if len(all.Blocked) != 0 || len(changes) != 2 {
		t.Fatalf("%d changes, blocked %v", len(changes), all.Blocked)
	}
	s.hide[deep], s.shut = true, deep
	s.items[two].revision++
	s.log = append(s.log, feedEntry{two, changeUpsert})
	for what, pages := range map[string]iter.Seq2[connectors.Page, error]{
		"snapshot": session.Snapshot(t.Context(), nil), "ids": session.ListIDs(t.Context(), nil), "permissions": session.Permissions(t.Context(), nil), "changes": session.Changes(t.Context(), start),
	} {
		all, changes := read(t, pages)
		if len(all.Blocked) != 1 || all.Blocked[0].ID != deep || all.Blocked[0].Reason == "" {
			t.Errorf("%s: blocked %v, want %s", what, all.Blocked, deep)
		}
		if c := changes[two]; c.Op != connectors.SetACL || c.ACL.Known() {
			t.Errorf("%s: it is %s with %+v", what, c.Op, c.ACL)
		}
		if _, ok := changes[three]; ok || what != "changes" && (changes[one].Ref.ID == "" || !all.Complete) {
			t.Errorf("%s: what lies elsewhere: %v, complete %t", what, slices.Collect(maps.Keys(changes)), all.Complete)
		}
	}
	s.shut = "" // 404: it is not there for this account, and what it held is not selected
	if all, changes := read(t, session.Snapshot(t.Context(), nil)); len(all.Blocked) != 0 || changes[two].Ref.ID != "" {
		t.Errorf("a folder that is not there: blocked %v, %v", all.Blocked, changes[two])
	}
}
