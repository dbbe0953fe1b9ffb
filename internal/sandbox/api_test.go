package sandbox_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tributary/internal/sandbox/company"
)

type apiItem struct {
	ID, Kind, Name, Path, Revision, URL string
	ParentID                            string `json:"parent_id"`
	Inherit, Restricted                 bool
	Size                                int
	Entries                             []struct {
		Principal struct{ Kind, ID, Name string }
		Role      string
	}
}

type apiPage struct {
	Items    []apiItem
	Next     string `json:"next_page_token"`
	Complete bool
}

func page(t *testing.T, r *rig, token, path string) apiPage {
	t.Helper()
	a := r.get(path, token)
	wantStatus(t, path, a, http.StatusOK)
	var p apiPage
	a.json(t, &p)
	return p
}

// listing returns the ids of every item that a token shows.
func listing(t *testing.T, r *rig, token string, size int, between func(n int)) []string {
	t.Helper()
	var ids []string
	next := ""
	for n := 0; ; n++ {
		p := page(t, r, token, fmt.Sprintf("/api/v1/items?page_size=%d&page_token=%s", size, next))
		for _, it := range p.Items {
			ids = append(ids, it.ID)
		}
		if p.Complete != (p.Next == "") {
			t.Fatalf("complete %v with the next page %q", p.Complete, p.Next)
		}
		if p.Complete {
			return ids
		}
		if between != nil {
			between(n)
		}
		next = p.Next
	}
}

func TestAnAccountSeesWhatItCanRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	for person, want := range map[string]string{
		"ann": "board handbook minutes pay rules salaries",
		"bob": "diary handbook notes plan rules", // bob is named in pay, but no reader of board
		"eve": "plan",                            // a guest is not "anyone"
	} {
		tk := r.connect(person)
		got := listing(t, r, tk.AccessToken, 2, nil)
		if strings.Join(got, " ") != want {
			t.Errorf("%s sees %v, want %s", person, got, want)
		}
		for _, it := range smallOrg().Items {
			status := http.StatusNotFound
			if slices.Contains(strings.Fields(want), it.ID) {
				status = http.StatusOK
			}
			wantStatus(t, person+" gets "+it.ID, r.get("/api/v1/items/"+it.ID, tk.AccessToken), status)
			if it.Kind == "file" {
				wantStatus(t, person+" downloads "+it.ID, r.get("/api/v1/items/"+it.ID+"/content", tk.AccessToken), status)
			}
			if can := r.World().CanRead(person, it.ID); can != (status == http.StatusOK) {
				t.Errorf("%s and %s: CanRead %v", person, it.ID, can)
			}
		}
	}
	if err := r.World().Share("handbook", company.Entry{Kind: "user", ID: "bob", Role: "blocked"}); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, r, r.connect("bob").AccessToken, 50, nil); strings.Join(got, " ") != "diary" {
		t.Errorf("blocked above: %v", got)
	}
}

func TestItemsAreToldWhole(t *testing.T) {
	t.Parallel()
	r := start(t)
	var it apiItem
	r.get("/api/v1/items/salaries", r.organisation()).json(t, &it)
	if it.Path != "board/pay/salaries.md" || it.ParentID != "pay" || it.Revision != "1" || !it.Inherit || it.URL != r.URL+"/drive/items/salaries" || it.Size != 18 {
		t.Errorf("%+v", it)
	}
	r.get("/api/v1/items/pay", r.organisation()).json(t, &it)
	if !it.Restricted || len(it.Entries) != 2 || it.Entries[1].Principal.Name != "Bob <b>" || it.Entries[1].Role != "reader" {
		t.Errorf("%+v", it)
	}
	r.get("/api/v1/items/plan", r.connect("eve").AccessToken).json(t, &it)
	if it.Path != "plan.md" {
		t.Errorf("the path tells folders that the reader cannot read: %q", it.Path)
	}
	root := page(t, r, r.organisation(), "/api/v1/items?parent=root")
	below := page(t, r, r.organisation(), "/api/v1/items?parent=pay")
	if len(root.Items) != 3 || len(below.Items) != 1 || below.Items[0].ID != "salaries" {
		t.Errorf("%d at the root, below pay %+v", len(root.Items), below.Items)
	}
	wantStatus(t, "a folder that cannot be read", r.get("/api/v1/items?parent=pay", r.connect("bob").AccessToken), http.StatusNotFound)
	wantStatus(t, "a folder that does not exist", r.get("/api/v1/items?parent=nope", r.organisation()), http.StatusNotFound)
}

func TestPagesSurviveEdits(t *testing.T) {
	t.Parallel()
	r := start(t)
	got := listing(t, r, r.organisation(), 2, func(n int) {
		if n > 0 {
			return
		}
		// After the first page (board, diary): the last one shown goes, one comes before it and one after.
		err := r.World().Delete("diary")
		for _, id := range []string{"aaa", "zzz"} {
			if err == nil {
				_, err = r.World().Create(company.Item{ID: id, Kind: "file", Name: id})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if want := "board diary handbook minutes notes pay plan rules salaries zzz"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}

func TestPagingRefusals(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	items := page(t, r, token, "/api/v1/items?page_size=1").Next
	for _, path := range []string{
		"/api/v1/items?page_size=0", "/api/v1/items?page_size=201", "/api/v1/items?page_size=x", "/api/v1/items?page_token=x", "/api/v1/items?page_token=" + items + "x",
		"/api/v1/items?page_token=" + base64.RawURLEncoding.EncodeToString([]byte("items\n0\nplan\nforged")),
		"/api/v1/groups?page_token=" + items, "/api/v1/changes?page_token=" + items, "/api/v1/changes", "/api/v1/items/handbook/content",
	} {
		wantStatus(t, path, r.get(path, token), http.StatusBadRequest)
	}
	wantStatus(t, "an address that is not there", r.get("/api/v1/nothing", token), http.StatusNotFound)
	for _, path := range []string{"about", "items", "items/plan", "items/plan/content", "changes", "changes/start", "groups", "people", "nothing"} {
		a := r.get("/api/v1/"+path, "")
		wantStatus(t, path+" without a token", a, http.StatusUnauthorized)
		if a.header.Get("WWW-Authenticate") != `Bearer realm="Sandbox Drive"` {
			t.Errorf("%s: %v", path, a.header)
		}
		wantStatus(t, path+" with a wrong token", r.get("/api/v1/"+path, "sba_wrong"), http.StatusUnauthorized)
	}
}

func TestTagsAndContent(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	for _, path := range []string{"/api/v1/about", "/api/v1/items", "/api/v1/items/plan", "/api/v1/items/plan/content", "/api/v1/groups", "/api/v1/people", "/api/v1/changes/start"} {
		a := r.get(path, token)
		tag := a.header.Get("ETag")
		again := r.get(path, token, func(q *http.Request) { q.Header.Set("If-None-Match", `"other", W/`+tag) })
		if wantStatus(t, path, again, http.StatusNotModified); tag == "" || again.body != "" || again.header.Get("ETag") != tag {
			t.Errorf("%s: tag %q, then %q %q", path, tag, again.header.Get("ETag"), again.body)
		}
	}
	before := r.get("/api/v1/items/plan/content", token)
	if before.body != "# Plan\n\nShip it.\n" || before.header.Get("Content-Length") != "17" || before.header.Get("Content-Type") != "text/markdown" || before.header.Get("Content-Disposition") != "attachment" {
		t.Errorf("%q %v", before.body, before.header)
	}
	if err := r.World().Edit("plan", "\xff\x00bytes"); err != nil {
		t.Fatal(err)
	}
	after := r.get("/api/v1/items/plan/content", token, func(q *http.Request) { q.Header.Set("If-None-Match", before.header.Get("ETag")) })
	if wantStatus(t, "edited", after, http.StatusOK); after.body != "\xff\x00bytes" {
		t.Errorf("%q", after.body)
	}
}

func TestGroupsAndPeople(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	var groups struct {
		Groups []struct {
			ID, Name string
			Members  []struct{ Kind, ID, Name, Email string }
		}
		Next     string `json:"next_page_token"`
		Complete bool
	}
	a := r.get("/api/v1/groups?page_size=2", token)
	a.json(t, &groups)
	if len(groups.Groups) != 2 || groups.Complete || groups.Groups[0].ID != "g-board" || groups.Groups[1].Members[0].Name != "Team" {
		t.Errorf("%+v", groups)
	}
	r.get("/api/v1/groups?page_size=2&page_token="+groups.Next, token).json(t, &groups)
	if len(groups.Groups) != 1 || !groups.Complete || groups.Groups[0].Members[0].Email != "bob@small.example" {
		t.Errorf("%+v", groups)
	}
	var people struct {
		People []struct {
			ID, Email string
			Verified  bool `json:"email_verified"`
			Active    bool
		}
	}
	r.get("/api/v1/people", token).json(t, &people)
	if len(people.People) != 4 || people.People[3].ID != "old" || people.People[3].Active || !people.People[0].Verified {
		t.Errorf("%+v", people)
	}
	wantStatus(t, "people without groups.read", r.get("/api/v1/people", r.connect("ann", "groups.read").AccessToken), http.StatusForbidden)
	wantStatus(t, "items without files.read", r.get("/api/v1/items", r.connect("ann", "files.read").AccessToken), http.StatusForbidden)
}

type apiFeed struct {
	Changes []struct {
		Seq    int64
		ItemID string `json:"item_id"`
		Kind   string
		Item   *apiItem
	}
	Next string `json:"next_page_token"`
	More bool
}

func (f apiFeed) String() string {
	var parts []string
	for _, c := range f.Changes {
		part := c.Kind + " " + c.ItemID
		if (c.Item == nil) != (c.Kind == "delete") {
			part += " (wrong item)"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func feedStart(t *testing.T, r *rig, token string) string {
	t.Helper()
	var p struct {
		Token string `json:"page_token"`
	}
	a := r.get("/api/v1/changes/start", token)
	wantStatus(t, "start", a, http.StatusOK)
	a.json(t, &p)
	return p.Token
}

func feed(t *testing.T, r *rig, token, from string) apiFeed {
	t.Helper()
	a := r.get("/api/v1/changes?page_token="+from, token)
	wantStatus(t, "changes", a, http.StatusOK)
	var f apiFeed
	a.json(t, &f)
	return f
}

func TestTheFeedTellsEachViewerItsOwn(t *testing.T) {
	t.Parallel()
	r := start(t)
	views := map[string]string{"organisation": r.organisation(), "ann": r.connect("ann").AccessToken, "bob": r.connect("bob").AccessToken, "eve": r.connect("eve").AccessToken}
	w := r.World()
	for _, step := range []struct {
		name string
		do   func() error
		want map[string]string
	}{
		{"an edit is told to its readers", func() error { return w.Edit("plan", "new") }, map[string]string{"organisation": "upsert plan", "bob": "upsert plan", "eve": "upsert plan"}},
		{"what comes is told to its readers", func() error {
			_, err := w.Create(company.Item{ID: "new", Kind: "file", Name: "new.md", ParentID: "board", Inherit: true})
			return err
		}, map[string]string{"organisation": "upsert new", "ann": "upsert new"}},
		{"a move takes what is below along", func() error { return w.Move("notes", "board") }, map[string]string{
			"organisation": "upsert notes, upsert plan", "bob": "upsert notes, upsert plan", "eve": "upsert plan",
		}},
		{"a move away from somebody is a deletion for them", func() error { return w.Move("rules", "pay") }, map[string]string{
			"organisation": "upsert rules", "ann": "upsert rules", "bob": "delete rules",
		}},
		{"and back", func() error { return errors.Join(w.Move("rules", "handbook"), w.Move("notes", "handbook")) }, map[string]string{
			"organisation": "upsert rules, upsert notes, upsert plan", "ann": "upsert rules", "bob": "upsert rules, upsert notes, upsert plan", "eve": "upsert plan",
		}},
		{"a share", func() error { return w.Share("diary", company.Entry{Kind: "user", ID: "eve", Role: "reader"}) }, map[string]string{
			"organisation": "access diary", "bob": "access diary", "eve": "access diary",
		}},
		{"the share's end is a deletion for who loses", func() error { return w.Unshare("diary", "user", "eve") }, map[string]string{
			"organisation": "access diary", "bob": "access diary", "eve": "delete diary",
		}},
		{"a restricted folder", func() error { return w.SetAccess("handbook", false, true) }, map[string]string{
			"organisation": "access handbook, access notes, access plan, access rules", "ann": "access handbook, access rules",
			"bob": "access handbook, access notes, access plan, access rules", "eve": "access plan",
		}},
		{"a new member gains, and nobody else hears of it", func() error { return w.AddMember("g-board", company.Ref{Kind: "user", ID: "bob"}) }, map[string]string{
			"bob": "access board, access minutes, access new, access pay, access salaries",
		}},
		{"a member who goes loses", func() error { return w.RemoveMember("g-board", company.Ref{Kind: "user", ID: "bob"}) }, map[string]string{
			"bob": "delete board, delete minutes, delete new, delete pay, delete salaries",
		}},
		{"a deleted folder takes what is below along", func() error { return w.Delete("board") }, map[string]string{
			"organisation": "delete board, delete minutes, delete new, delete pay, delete salaries", "ann": "delete board, delete minutes, delete new, delete pay, delete salaries",
		}},
		{"and comes back with it", func() error { return w.Restore("board") }, map[string]string{
			"organisation": "upsert board, upsert minutes, upsert new, upsert pay, upsert salaries", "ann": "upsert board, upsert minutes, upsert new, upsert pay, upsert salaries",
		}},
		{"a rename", func() error { return w.Rename("rules", "Laws.md") }, map[string]string{"organisation": "upsert rules", "ann": "upsert rules", "bob": "upsert rules"}},
	} {
		from := map[string]string{}
		for who, token := range views {
			from[who] = feedStart(t, r, token)
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for who, token := range views {
			got := feed(t, r, token, from[who])
			if got.String() != step.want[who] || got.More {
				t.Errorf("%s: %s hears %q, want %q", step.name, who, got, step.want[who])
			}
			if next := feed(t, r, token, got.Next); len(next.Changes) != 0 {
				t.Errorf("%s: %s hears it again: %s", step.name, who, next)
			}
		}
	}
}

func TestTheFeedComesInPages(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	from := feedStart(t, r, token)
	for range 5 {
		if err := r.World().Edit("plan", "x"); err != nil {
			t.Fatal(err)
		}
	}
	var seqs []int64
	for more := true; more; {
		var f apiFeed
		r.get("/api/v1/changes?page_size=2&page_token="+url.QueryEscape(from), token).json(t, &f)
		for _, c := range f.Changes {
			seqs = append(seqs, c.Seq)
		}
		from, more = f.Next, f.More
	}
	if len(seqs) != 5 || !slices.IsSorted(seqs) || len(slices.Compact(seqs)) != 5 {
		t.Errorf("%v", seqs)
	}
}

func TestRevisionsMoveWithTheTextOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	w := r.World()
	steps := []struct {
		do   func() error
		want int
	}{
		{func() error { return w.Move("plan", "") }, 1},
		{func() error { return w.Share("plan", company.Entry{Kind: "anyone", Role: "reader"}) }, 1},
		{func() error { return w.SetAccess("plan", false, false) }, 1},
		{func() error { return w.Edit("plan", "x") }, 2},
		{func() error { return w.Rename("plan", "x.md") }, 3},
		{func() error { return w.Delete("plan") }, 3},
		{func() error { return w.Restore("plan") }, 3},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if it, _ := w.Item("plan"); it.Revision != s.want {
			t.Errorf("step %d: revision %d, want %d", i, it.Revision, s.want)
		}
	}
}

func TestTheWorldRefuses(t *testing.T) {
	t.Parallel()
	r := start(t)
	w := r.World()
	seq := func() int { return len(feed(t, r, r.organisation(), feedStart(t, r, r.organisation())).Changes) }
	for name, err := range map[string]error{
		"a folder in itself":        w.Move("board", "pay"),
		"a file as a folder":        w.Move("pay", "plan"),
		"an unknown folder":         w.Move("pay", "nope"),
		"an unknown item":           w.Edit("nope", ""),
		"text in a folder":          w.Edit("pay", ""),
		"no name":                   w.Rename("pay", "  "),
		"an unknown role":           w.Share("pay", company.Entry{Kind: "user", ID: "bob", Role: "king"}),
		"an unknown principal kind": w.Share("pay", company.Entry{Kind: "robot", ID: "bob", Role: "reader"}),
		"nobody":                    w.Share("pay", company.Entry{Kind: "user", Role: "reader"}),
		"restoring what is there":   w.Restore("pay"),
		"an unknown group":          w.AddMember("nope", company.Ref{Kind: "user", ID: "bob"}),
		"an unknown person":         w.SetActive("nope", true),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := w.Create(company.Item{ID: "plan", Kind: "file", Name: "x"}); err == nil {
		t.Error("an id was taken twice")
	}
	if it, _ := w.Item("pay"); it.ParentID != "board" || len(it.Entries) != 2 || seq() != 0 {
		t.Errorf("a refusal left something behind: %+v", it)
	}
}
