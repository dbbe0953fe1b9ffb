package consenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/sandbox/company"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web"
)

// process is a server with a pool of its own on the database of a rig, as another machine would be.
type process struct {
	r   *rig
	url string
}

func (r *rig) process() process {
	r.t.Helper()
	st, err := store.Open(r.t.Context(), store.Config{URL: r.db.URL, Purpose: store.Web})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(st.Close)
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = web.New(web.Config{PublicURL: &url.URL{Scheme: "http", Host: s.Listener.Addr().String()}, Store: st, Accounts: st}).Handler()
	s.Start()
	r.t.Cleanup(s.Close)
	return process{r, s.URL}
}

// found is what a search was answered.
type found struct {
	store.SearchResponse
	status int
	body   string
}

// search asks as a program does.
func (p process) search(key, body string) found {
	p.r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url+"/v1/search", strings.NewReader(body))
	if err != nil {
		p.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.r.t.Fatal(err)
	}
	f := found{status: resp.StatusCode, body: string(raw)}
	if f.status == http.StatusOK {
		if err := json.Unmarshal(raw, &f.SearchResponse); err != nil {
			p.r.t.Fatalf("%v: %s", err, raw)
		}
	}
	return f
}

// ofAnn is a file that only ann reads.
const ofAnn = "itm-of-ann"

const notes = `{"query": "what number does the note say", "mode": "keyword", "k": 100}`

// key makes a key of a reader.
func (r *rig) key(name string, reader uuid.UUID) string {
	r.t.Helper()
	_, secret, err := r.store.CreateKey(r.t.Context(), store.CreateKeyParams{Name: name, ReaderID: &reader, AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

// bobReads makes a reader that is bob at the drive, with a key.
func (r *rig) bobReads(name string) (uuid.UUID, string) {
	r.t.Helper()
	made, err := r.store.CreateReader(r.t.Context(), name, store.Person)
	if err == nil {
		err = r.store.LinkReader(r.t.Context(), made.ID, store.PrincipalIn{Connection: r.connection().ID, Principal: connectors.Principal{Kind: connectors.User, ID: bob}}, store.LinkManual)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return made.ID, r.key(name, made.ID)
}

// TestFirstSearchAfterConnecting: an admin connects Sandbox Drive in the pages, is offered the account that consented, and
// finds what that person may read. Until then, and wherever nothing is found, the answer names the reader's side.
func TestFirstSearchAfterConnecting(t *testing.T) {
	t.Parallel()
	const files, canary = 12, "what it says is zeisig"
	s := newScene(t, files)
	_, err := s.drive.World().Create(company.Item{ID: ofAnn, Kind: "file", Name: "of-ann.md", Body: "# Of Ann\n\nFor herself: " + canary + "\n", AuthorID: ann, Entries: []company.Entry{{Kind: "user", ID: ann, Role: "owner"}}})
	if err != nil {
		t.Fatal(err)
	}
	ada, err := s.store.CreateReader(t.Context(), "ada", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	here, key := s.process(), s.key("ada", ada.ID)
	empty := func(when string, hint store.Hint, body string) {
		t.Helper()
		got := here.search(key, body)
		if got.status != http.StatusOK || len(got.Results) != 0 || got.Hint != hint || got.Pending != 0 || got.NextCursor != nil {
			t.Errorf("%s: hint %q, want %q: %s", when, got.Hint, hint, got.body)
		}
	}
	empty("before anything is connected", store.HintUnlinked, notes)
	if p := s.through(s.begin("files")); p.status != http.StatusOK || !strings.Contains(p.body, "Connected") {
		t.Fatalf("connecting: %d\n%s", p.status, p.body)
	}
	s.must(store.Permissions)
	s.must(store.Content)
	empty("before the account is linked", store.HintUnlinked, notes)
	page := s.get("/connections/files")
	if !strings.Contains(page.body, "/connections/files/link") || !strings.Contains(page.body, fmt.Sprintf("<dd>%d <span class=\"hint\">in ", files+1)) {
		t.Errorf("the page of the connection offers no link, or no totals\n%s", page.body)
	}
	began := time.Now()
	if p := s.post("/connections/files/link"); p.status != http.StatusSeeOther {
		t.Fatalf("linking: %d\n%s", p.status, p.body)
	}
	first := here.search(key, notes)
	t.Logf("one click and the first search took %s", time.Since(began).Round(time.Millisecond))
	titles := []string{}
	for _, r := range first.Results {
		titles = append(titles, r.Title)
	}
	slices.Sort(titles)
	if len(titles) != files+1 || first.Hint != "" || !first.Complete || !strings.Contains(first.body, canary) {
		t.Errorf("the first search finds %q: %s", titles, first.body)
	}
	empty("a word that stands nowhere", store.HintNoMatch, `{"query": "kanarienvogel", "mode": "keyword"}`)
	empty("a connection without anything for ada", store.HintNothing, `{"query": "note", "mode": "keyword", "filters": {"connection": "another"}}`)
	_, key = s.bobReads("robert")
	if got := here.search(key, notes); len(got.Results) != files || strings.Contains(got.body, canary) {
		t.Errorf("bob finds %d: %s", len(got.Results), got.body)
	}
	empty("what only ann may read, asked by bob", store.HintNoMatch, `{"query": "zeisig", "mode": "keyword"}`)
	// Somebody who is linked and may read nothing is told so.
	if err := s.drive.World().RemoveMember("grp-all", company.Ref{Kind: "user", ID: bob}); err != nil {
		t.Fatal(err)
	}
	s.must(store.Permissions)
	empty("bob, who may read nothing any more", store.HintNothing, notes)
	events, err := s.store.AuditEvents(t.Context(), store.AuditFilter{Action: "reader.link", Limit: 10})
	if err != nil || len(events) != 1 || events[0].Actor.Name != "ada" || events[0].Outcome != audit.OK {
		t.Errorf("the link in the audit log: %+v, %v", events, err)
	}
}

// TestPE9RevocationsArriveEverywhere: what is taken away at the source is gone with the next run of permissions, and what
// is ended here with the next request, on two processes.
func TestPE9RevocationsArriveEverywhere(t *testing.T) {
	t.Parallel()
	const files = 10
	r, _ := newLife(t, files)
	r.connect()
	r.must(store.Permissions)
	r.must(store.Content)
	readerID, key := r.bobReads("robert")
	_, doomed := r.bobReads("robert-2")
	processes := []process{r.process(), r.process()}
	all := func(when, key string, status, results int) {
		t.Helper()
		for i, p := range processes {
			if got := p.search(key, notes); got.status != status || len(got.Results) != results {
				t.Errorf("%s, on process %d: %d with %d results, want %d with %d\n%s", when, i+1, got.status, len(got.Results), status, results, got.body)
			}
		}
	}
	all("in the group", key, 200, files)
	if err := r.drive.World().RemoveMember("grp-all", company.Ref{Kind: "user", ID: bob}); err != nil {
		t.Fatal(err)
	}
	r.must(store.Content)
	all("removed, before permissions are read", key, 200, files)
	began := time.Now()
	r.must(store.Permissions)
	all("after the next run of permissions", key, 200, 0)
	t.Logf("out of the group: a run of permissions and two searches later, %s", time.Since(began).Round(time.Millisecond))
	if err := r.drive.World().AddMember("grp-all", company.Ref{Kind: "user", ID: bob}); err != nil {
		t.Fatal(err)
	}
	r.must(store.Permissions)
	all("in the group again", key, 200, files)
	for _, end := range []struct {
		what string
		key  string
		do   func() error
	}{
		{"revoking a key", doomed, func() error { return r.store.RevokeKey(t.Context(), "robert-2") }},
		{"disabling a reader", key, func() error { return r.store.DisableReader(t.Context(), readerID) }},
	} {
		all("before "+end.what, end.key, 200, files)
		began := time.Now()
		if err := end.do(); err != nil {
			t.Fatal(err)
		}
		all("after "+end.what, end.key, 401, 0)
		took := time.Since(began)
		t.Logf("%s: refused on both processes after %s", end.what, took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("%s took %s to arrive everywhere", end.what, took)
		}
	}
}

// TestPE9OldPermissionsHide: permissions that are not read any more are stale after twice their interval and hide after
// their maximum age, and a connection that has ended hides at once; explain names which.
func TestPE9OldPermissionsHide(t *testing.T) {
	t.Parallel()
	const files = 6
	r, clock := newLife(t, files)
	res := r.connect()
	r.must(store.Permissions)
	r.must(store.Content)
	_, key := r.bobReads("robert")
	p := r.process()
	document := r.anyDocument()
	state := func(when string, complete bool, results int, why store.WhyNot) {
		t.Helper()
		got := p.search(key, notes)
		if got.status != 200 || got.Complete != complete || len(got.Results) != results || results == 0 && got.Hint != store.HintNothing {
			t.Errorf("%s: complete %v with %d results (%s), want %v with %d", when, got.Complete, len(got.Results), got.Hint, complete, results)
		}
		e, err := r.store.Explain(t.Context(), store.ExplainRequest{Reader: "robert", Document: document})
		if err != nil {
			t.Fatal(err)
		}
		if e.Visible != (why == "") || why != "" && !slices.ContainsFunc(e.Reasons, func(x store.ExplainedReason) bool { return x.Code == why && x.Remedy != "" }) {
			t.Errorf("%s: explain says %v because of %+v, want %q", when, e.Visible, e.Reasons, why)
		}
	}
	state("fresh", true, files, "")
	clock.advance(9 * time.Minute)
	state("after 9 minutes", true, files, "")
	clock.advance(2 * time.Minute)
	state("after 11 minutes: stale", false, files, "")
	clock.advance(24*time.Hour - 12*time.Minute)
	state("a minute before the maximum age", false, files, "")
	clock.advance(2 * time.Minute)
	state("past the maximum age: hidden", false, 0, store.WhyPermissionsOld)
	r.must(store.Permissions)
	state("read again", true, files, "")
	end := clock.now().Add(time.Hour)
	if err := r.grants.SetConnectionExpiry(t.Context(), r.by, res.Connection, &end, oauthflow.HideDocuments); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Hour - time.Second)
	r.must(store.Permissions)
	state("a second before its end", true, files, "")
	clock.advance(2 * time.Second)
	state("ended", true, 0, store.WhyConnectionExpired)
}

func (r *rig) anyDocument() string {
	r.t.Helper()
	return strings.Fields(r.ids())[0]
}
