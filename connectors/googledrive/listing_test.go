package googledrive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// TestListingsThatLie: what contradicts itself is an error, because an end that
// is none would delete documents.
func TestListingsThatLie(t *testing.T) {
	t.Parallel()
	feedOnly := []string{"no new token", "no start token"}
	for name, spoil := range map[string]func(op string, answer map[string]any){
		"incomplete":     func(op string, a map[string]any) { a["incompleteSearch"] = op == "files.list" },
		"without id":     func(op string, a map[string]any) { drop(op, a, "id") },
		"no new token":   func(op string, a map[string]any) { delete(a, "newStartPageToken") },
		"no start token": func(op string, a map[string]any) { delete(a, "startPageToken") },
		"repeats": func(op string, a map[string]any) {
			if op == "files.list" {
				a["nextPageToken"] = "0~" + sum(queryFiles) + "~1file0001"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLiar(t)
			for i := range 5 {
				r.put(t, fmt.Sprintf("b/doc-%d.md", i))
			}
			start, err := r.open(t).Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.put(t, "b/late.md")
			r.spoil = spoil
			var errs []error
			complete := false
			for _, seq := range []func(func(connectors.Page, error) bool){
				r.open(t).Snapshot(t.Context(), nil), r.open(t).ListIDs(t.Context(), nil), r.open(t).Changes(t.Context(), start),
			} {
				for page, err := range seq {
					errs = append(errs, err)
					complete = complete || page.Complete && !slices.Contains(feedOnly, name)
				}
			}
			_, err = r.open(t).Start(t.Context())
			errs = append(errs, err)
			if complete {
				t.Error("a listing says that it is complete")
			}
			if !slices.ContainsFunc(errs, func(err error) bool { return connectors.ClassOf(err) == connectors.Transient }) {
				t.Errorf("no error tells: %v", errs)
			}
		})
	}
}

func drop(op string, answer map[string]any, member string) {
	if op != "files.list" {
		return
	}
	rows, _ := answer["files"].([]any)
	for _, row := range rows {
		delete(row.(map[string]any), member)
	}
}

// TestShortPages follows short and empty pages to the end.
func TestShortPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 10 {
		r.put(t, fmt.Sprintf("b/doc-%d.md", i))
	}
	r.spoil = func(op string, answer map[string]any) {
		if op == "files.list" && answer["nextPageToken"] != nil {
			answer["files"] = []any{}
		}
	}
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	if !page.Complete || len(page.Changes) != 1 {
		t.Errorf("%d documents, complete %t", len(page.Changes), page.Complete)
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	names := []string{"a/one.md", "a/deep/two.md", "b/three.md", "b/x/four.md", "b/x/y/five.md", "c/six.md"}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = r.put(t, name)
	}
	x := r.nodes[ids["b/x/four.md"]].parent
	for _, c := range []struct {
		name string
		sel  connectors.Selection
		want []string
	}{
		{"everything", connectors.Selection{}, names},
		{"my drive", connectors.Selection{Containers: []string{containerMine}}, names[2:5]},
		{"shared with me", connectors.Selection{Containers: []string{containerShared}}, names[5:]},
		{"a shared drive", connectors.Selection{Containers: []string{containerDrive + driveA}}, names[:2]},
		{"a folder", connectors.Selection{Containers: []string{x}}, names[3:5]},
		{"a folder and a drive", connectors.Selection{Containers: []string{x, containerDrive + driveA}}, []string{names[0], names[1], names[3], names[4]}},
		{"a pattern", connectors.Selection{Include: []string{"My Drive/b/x"}}, names[3:5]},
		{"but for a pattern", connectors.Selection{Containers: []string{containerMine}, Exclude: []string{"y"}}, names[2:4]},
	} {
		r.env.Selection = c.sel
		for what, page := range map[string]connectors.Page{
			"snapshot": read(t, r.open(t).Snapshot(t.Context(), nil)), "ids": read(t, r.open(t).ListIDs(t.Context(), nil)),
			"permissions": read(t, r.open(t).Permissions(t.Context(), nil)),
		} {
			var got []string
			for _, ch := range page.Changes {
				got = append(got, r.name(r.nodes[ch.Ref.ID]))
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(c.want))
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %v, want %v", c.name, what, got, want)
			}
		}
	}
}

// TestSelectedFolderIsFollowed: what comes into a chosen folder, and what
// leaves it with another folder.
func TestSelectedFolderIsFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	inside, carried := r.put(t, "b/x/in.md"), r.put(t, "b/z/carried.md")
	x, z := r.nodes[r.nodes[inside].parent], r.nodes[r.nodes[carried].parent]
	r.env.Selection = connectors.Selection{Containers: []string{x.id}}
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later := r.put(t, "b/x/later.md")
	z.parent = x.id
	r.noted(z)
	page := read(t, r.open(t).Changes(t.Context(), start))
	for _, id := range []string{later, carried} {
		if c := find(t, page, id); c.Op != connectors.Upsert {
			t.Errorf("%s came, and the feed says %s", r.nodes[id].name, c.Op)
		}
	}
	z.parent = rootID
	r.noted(z)
	if c := find(t, read(t, r.open(t).Changes(t.Context(), page.Next)), carried); c.Op != connectors.Delete {
		t.Errorf("it left with its folder, and the feed says %s", c.Op)
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(t, "a/deep/doc.md")
	inner := r.put(t, "b/x/doc.md")
	y := r.nodes[r.nodes[r.put(t, "c/y/doc.md")].parent]
	y.shares = []share{{kind: typeUser, who: account, role: roleWriter}} // by name as well
	x := r.nodes[r.nodes[inner].parent]
	choices := func(parent string) string {
		var all []string
		for c, err := range r.open(t).Choices(t.Context(), parent) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c.Name)
		}
		return strings.Join(all, ", ")
	}
	for parent, want := range map[string]string{
		"": "My Drive, Shared with me, a", containerMine: "b", containerShared: "c", containerDrive + driveA: "deep", x.parent: "x", x.id: "", y.parent: "y",
	} {
		if got := choices(parent); got != want {
			t.Errorf("below %q: %s, want %s", parent, got, want)
		}
	}
}

// TestDriveComesAndGoes: a shared drive that the account has joined is listed
// by the feed, in pages, and then followed.
func TestDriveComesAndGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.comeOrGo()
	for i := range 7 {
		r.place("a", node{name: fmt.Sprintf("more-%d.md", i), mime: "text/markdown", text: "x"})
	}
	for _, n := range r.nodes {
		if strings.HasPrefix(n.name, "more-") {
			n.drive, n.parent = driveB, "1Bfolder"
		}
	}
	r.log[driveA] = nil // they have always been there
	from := start
	seen := map[string]int{}
	for range 20 { // a session for every page
		moved := false
		for page, err := range r.open(t).Changes(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Changes {
				seen[c.Ref.ID]++
			}
			from, moved = page.Next, true
			break
		}
		if !moved {
			break
		}
	}
	for id, n := range r.nodes {
		if n.drive == driveB && n.mime != typeFolder && seen[id] != 1 {
			t.Errorf("%s is in the new drive and was told %d times", n.name, seen[id])
		}
	}
	late := r.place("a", node{name: "late.md", mime: "text/markdown", text: "x"})
	r.nodes[late].drive, r.nodes[late].parent = driveB, driveB
	r.log[driveB] = append(r.log[driveB], late)
	page := read(t, r.open(t).Changes(t.Context(), from))
	if find(t, page, late).Op != connectors.Upsert {
		t.Error("the new drive is not followed")
	}
	r.comeOrGo()
	from = read(t, r.open(t).Changes(t.Context(), page.Next)).Next
	if strings.Contains(string(from), driveB) {
		t.Errorf("the drive was left and is still followed: %s", from)
	}
	if again := read(t, r.open(t).Changes(t.Context(), from)); again.Next != nil {
		t.Errorf("nothing happened, and the cursor moves to %s", again.Next)
	}
}

// TestEndlessFolders: folders that hold each other end in a snapshot.
func TestEndlessFolders(t *testing.T) {
	t.Parallel()
	r := newLiar(t)
	one := r.place("b", node{name: "one", mime: typeFolder})
	two := r.place("b", node{name: "two", mime: typeFolder})
	in := r.put(t, "b/in.md")
	r.nodes[two].parent, r.nodes[in].parent = one, two
	r.spoil = func(_ string, answer map[string]any) {
		rows, _ := answer["files"].([]any)
		for _, row := range rows {
			if f := row.(map[string]any); f["id"] == two {
				f["id"] = one // its own child
			}
		}
	}
	at := feedCursor{User: "0~0", Drives: map[string]string{driveA: "0~0"}, Walk: []string{"/" + one}, Walked: maxWalked - 3}
	var last error
	pages := 0
	for _, err := range r.open(t).Changes(t.Context(), at.encode()) {
		pages++
		last = err
	}
	if connectors.ClassOf(last) != connectors.CursorExpired || pages > 10 {
		t.Errorf("after %d pages: %v", pages, last)
	}
}

// TestWalkInBatches: folders of one request lie in one corpus, and stay the
// same while its pages are read.
func TestWalkInBatches(t *testing.T) {
	t.Parallel()
	f := &feed{at: feedCursor{Walk: []string{"/1", "/2", "0A/3", "/4"}}}
	for _, want := range []string{"[1 2]", "[3]", "[4]"} {
		c, ids := f.batch()
		if got := fmt.Sprint(ids); got != want || (c == "0A") != (want == "[3]") {
			t.Errorf("batch %s of %q, want %s", got, c, want)
		}
		f.at.Walk = f.at.Walk[len(ids):]
	}
	r := newRig(t)
	want := map[string]bool{}
	for i := range 8 {
		want[r.put(t, fmt.Sprintf("b/x/doc-%d.md", i))] = true
		want[r.put(t, fmt.Sprintf("b/x/sub-%d/doc.md", i))] = true
	}
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range r.nodes {
		if n.name == "x" {
			r.noted(n)
		}
	}
	for _, c := range read(t, r.open(t).Changes(t.Context(), start)).Changes {
		delete(want, c.Ref.ID)
	}
	if len(want) > 0 {
		t.Errorf("below a folder that changed, %d files are missing", len(want))
	}
}

// TestSelectionWidened: the account's log was never followed, so that a
// snapshot has to come first.
func TestSelectionWidened(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env.Selection = connectors.Selection{Containers: []string{containerDrive + driveA}}
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.env.Selection = connectors.Selection{}
	for _, err := range r.open(t).Changes(t.Context(), start) {
		if connectors.ClassOf(err) != connectors.CursorExpired {
			t.Error(err)
		}
		return
	}
	t.Error("nothing is said")
}

// TestLostBetweenPages: a listing that stood in a drive which is gone goes on
// with the next.
func TestLostBetweenPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.put(t, fmt.Sprintf("a/doc-%d.md", i))
	}
	r.comeOrGo()
	var from connectors.Cursor
	for page, err := range r.open(t).Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if from = page.Next; strings.Contains(string(from), driveA) && strings.Contains(string(from), "token") {
			break
		}
	}
	r.drives[driveA].members = r.drives[driveA].members[1:]
	page := read(t, r.open(t).Snapshot(t.Context(), from))
	if !page.Complete || len(page.Changes) != 2 {
		t.Errorf("%d documents, complete %t", len(page.Changes), page.Complete)
	}
}

// TestListedOnce: what lies in a drive of the account and is shared with it by
// name as well is in two lists of Google's.
func TestListedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.nodes[r.put(t, "a/doc.md")].shares = []share{reader(typeUser, account)}
	if page := read(t, r.open(t).Snapshot(t.Context(), nil)); len(page.Changes) != 1 {
		t.Errorf("listed %d times", len(page.Changes))
	}
}

// TestQuoted: no name ends the literal that it stands in.
func TestQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"plain": `'plain'`, `o'brien`: `'o\'brien'`, `\' or '`: `'\\\' or \''`} {
		if got := quoted(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
