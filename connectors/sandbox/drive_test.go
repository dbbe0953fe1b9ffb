package sandbox

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/httpx"
	server "tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/internal/sandbox/sandboxtest"
)

const (
	redirectURI = "http://127.0.0.1:8080/oauth/callback"
	// verifier and challenge are the pair of RFC 7636, Appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// drive is the sandbox itself with the company of the demo.
type drive struct {
	*sandboxtest.Running
	id, secret string
}

func startDrive(t *testing.T) drive {
	t.Helper()
	d := drive{Running: sandboxtest.Start(t)}
	var err error
	if d.id, d.secret, err = d.Register(redirectURI); err != nil {
		t.Fatal(err)
	}
	return d
}

// token asks the token endpoint as the registered client.
func (d drive) token(t *testing.T, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(d.id), url.QueryEscape(d.secret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no token: status %d, %v", resp.StatusCode, err)
	}
	return answer.AccessToken
}

// consented opens a session with the consent of a person.
func (d drive) consented(t *testing.T, person string, untick ...string) *session {
	t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {d.id}, "redirect_uri": {redirectURI}, "state": {"s"},
		"scope":          {strings.Join([]string{scopeAccount, scopeFiles, scopeGroups}, " ")},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	back, err := d.Browser().Consent(d.URL+"/oauth/authorize?"+q.Encode(), person, untick...)
	if err != nil {
		t.Fatal(err)
	}
	return d.session(t, d.token(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	}))
}

// session opens one with the client that connectors use, less its host rules.
func (d drive) session(t *testing.T, token string) *session {
	t.Helper()
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return &connectors.Error{Op: "calling", Class: connectors.Invalid, Err: httpx.ErrRedirect}
		},
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token)
			return base.RoundTrip(r)
		}),
	}
	opened, err := New(Config{PageSize: 50, Retry: httpx.Retry{Attempts: 1}}).Open(t.Context(), connectors.Env{HTTP: client, Base: d.URL})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := opened.(*session)
	if !ok {
		t.Fatalf("a session of type %T", opened)
	}
	return s
}

// view is what a store would hold: a document's revision, path and ACL by id.
type view map[string]connectors.Change

func (v view) apply(page connectors.Page) {
	for _, c := range page.Changes {
		if c.Op == connectors.Delete {
			delete(v, c.Ref.ID)
			continue
		}
		v[c.Ref.ID] = c
	}
}

func snapshot(t *testing.T, s *session) view {
	t.Helper()
	v, complete := view{}, false
	for page, err := range s.Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		v.apply(page)
		complete = page.Complete
	}
	if !complete {
		t.Error("the snapshot is not complete")
	}
	return v
}

func memberships(t *testing.T, s *session) []connectors.Membership {
	t.Helper()
	var ms []connectors.Membership
	for m, err := range s.Groups(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	return ms
}

// sameAsDrive compares, for every person and document of the view, the ACL's
// answer with the drive's.
func (d drive) sameAsDrive(t *testing.T, v view, ms []connectors.Membership) (granted int) {
	t.Helper()
	for _, p := range d.World().People() {
		is := circle(p.ID, ms)
		if !p.Active {
			delete(is, publicKey)
		}
		for id, c := range v {
			theirs := d.World().CanRead(p.ID, id)
			if ours := readsBy(is, c.ACL); ours != theirs {
				t.Errorf("%s of %s: by the ACL %t, at the drive %t", p.ID, id, ours, theirs)
			}
			if theirs {
				granted++
			}
		}
	}
	return granted
}

func files(items []server.Item) int {
	n := 0
	for _, it := range items {
		if it.Kind == kindFile {
			n++
		}
	}
	return n
}

// TestTheWholeCompany: the managing director consents, and everybody finds
// exactly what the drive shows them.
func TestTheWholeCompany(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.consented(t, "anna")
	v := snapshot(t, s)
	total := files(d.World().Items())
	if len(v) != total-2 {
		t.Errorf("%d documents, want all but two of %d", len(v), total)
	}
	ms := memberships(t, s)
	t.Logf("%d documents, %d memberships, %d grants", len(v), len(ms), d.sameAsDrive(t, v, ms))

	questions, err := company.Questions()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		c, ok := v[q.Expects]
		if !ok || !readsBy(circle(q.Person, ms), c.ACL) || readsBy(circle(q.HiddenFrom, ms), c.ACL) {
			t.Errorf("%q: %s listed %t, ACL %+v", q.Question, q.Expects, ok, c.ACL)
		}
	}
	if summary, err := s.Verify(t.Context()); err != nil || !strings.Contains(summary, "Larkwater Drives") || !strings.Contains(summary, "Anna Lindqvist") {
		t.Errorf("summary %q (%v)", summary, err)
	}
	rc, err := v["salary-review-2027"].Document.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if text, err := io.ReadAll(rc); err != nil || !strings.Contains(string(text), "3.1 %") {
		t.Errorf("text %.80q (%v)", text, err)
	}
}

// TestAClientOfItsOwn reads the organisation without a person.
func TestAClientOfItsOwn(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.session(t, d.token(t, url.Values{"grant_type": {"client_credentials"}}))
	v := snapshot(t, s)
	if total := files(d.World().Items()); len(v) != total {
		t.Errorf("%d documents, want %d", len(v), total)
	}
	d.sameAsDrive(t, v, memberships(t, s))
	if _, err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAGuestsConsentWidensNothing: a guest sees single files in folders that
// are closed to her; who else may read them she cannot know.
func TestAGuestsConsentWidensNothing(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.consented(t, "dana")
	v, ms := snapshot(t, s), memberships(t, s)
	if _, ok := v["contract-merrin"]; !ok {
		t.Error("the contract that is shared with her is not listed")
	}
	for id, c := range v {
		for _, p := range d.World().People() {
			if p.Active && readsBy(circle(p.ID, ms), c.ACL) && !d.World().CanRead(p.ID, id) {
				t.Errorf("%s may read %s by the ACL and not at the drive", p.ID, id)
			}
		}
	}
	if c := v["contract-merrin"]; c.ACL.Known() {
		t.Errorf("the contract's folder is out of sight and its ACL is %+v", c.ACL)
	}
}

// TestFeedAndSnapshotAgree after everything that can happen to a drive.
func TestFeedAndSnapshotAgree(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.consented(t, "anna")
	from, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := snapshot(t, s)
	steps := d.steps()
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		if err := steps[name](); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for page, err := range s.Changes(t.Context(), from) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v.apply(page)
			from = page.Next
		}
		fresh := snapshot(t, d.consented(t, "anna"))
		sameViews(t, name, v, fresh)
		d.sameAsDrive(t, fresh, memberships(t, s))
	}
	// Of who leaves the feed says nothing; the permission feed does.
	if err := d.World().SetActive("priya", false); err != nil {
		t.Fatal(err)
	}
	told := view{}
	for id, acl := range acls(t, s) {
		told[id] = connectors.Change{ACL: acl}
	}
	d.sameAsDrive(t, told, memberships(t, s))
}

// steps are what happens to the drive, in the order of their names.
func (d drive) steps() map[string]func() error {
	w := d.World()
	user := func(id, role string) company.Entry { return company.Entry{Kind: entryUser, ID: id, Role: role} }
	return map[string]func() error{
		"01 create": func() error {
			_, err := w.Create(company.Item{Kind: kindFile, Name: "New.md", ParentID: "folder-handbook", Body: "# New\n", AuthorID: "anna", Inherit: true})
			return err
		},
		"02 edit":           func() error { return w.Edit("travel-rules", "# Travel\n\nOnly by ferry.\n") },
		"03 rename folder":  func() error { return w.Rename("folder-sales", "Selling") },
		"04 move file":      func() error { return w.Move("welcome", "folder-people") },
		"05 move folder":    func() error { return w.Move("folder-service-cases", "folder-company") },
		"06 block in root":  func() error { return w.Share("folder-engineering", user("hugo", roleBlocked)) },
		"07 share private":  func() error { return w.Share("mediation-notes", user("anna", roleReader)) },
		"08 unshare folder": func() error { return w.Unshare("folder-canteen", entryAnyone, "") },
		"09 restrict":       func() error { return w.SetAccess("folder-finance", true, true) },
		"10 close":          func() error { return w.SetAccess("folder-production-quality", false, false) },
		"11 delete folder":  func() error { return w.Delete("folder-press") },
		"12 delete file":    func() error { return w.Delete("leave") },
		"13 delete other":   func() error { return w.Delete("folder-policies") },
		"14 restore":        func() error { return w.Restore("folder-policies") },
		"15 member": func() error {
			return w.RemoveMember("g-management", company.Ref{Kind: entryUser, ID: "leila"})
		},
		"16 group in a group":         func() error { return w.AddMember("g-people", company.Ref{Kind: entryGroup, ID: "g-on-call"}) },
		"18 shared with one who left": func() error { return w.Share("welcome", user("kurt", roleReader)) },
		"17 link":                     func() error { return w.Share("strategy-2030", company.Entry{Kind: entryLink, Role: roleReader}) },
	}
}

// sameViews compares what the feed made with what a new listing says.
func sameViews(t *testing.T, after string, fed, fresh view) {
	t.Helper()
	for id, want := range fresh {
		got, ok := fed[id]
		switch {
		case !ok:
			t.Errorf("%s: %s is missing in what the feed made", after, id)
		case got.Ref != want.Ref || got.Document.Path != want.Document.Path || !sameACL(got.ACL, want.ACL):
			t.Errorf("%s: %s is %+v %s %+v by the feed, and %+v %s %+v by a listing", after, id,
				got.Ref, got.Document.Path, got.ACL, want.Ref, want.Document.Path, want.ACL)
		}
	}
	for id := range fed {
		if _, ok := fresh[id]; !ok {
			t.Errorf("%s: %s is left over in what the feed made", after, id)
		}
	}
}

func sameACL(a, b connectors.ACL) bool {
	return slices.Equal(a.Deny, b.Deny) && slices.EqualFunc(a.AllOf, b.AllOf, slices.Equal[[]connectors.Principal])
}
