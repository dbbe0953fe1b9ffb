package sandbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/internal/sandbox/sandboxtest"
)

// Tests of the company's size use company.Load; the rules are tested on this small one.
//
//	root ─ handbook (anyone) ─ rules.md, notes (g-loop alone) ─ plan.md (and eve)
//	     ─ board (g-board) ─ minutes.md, pay (restricted to ann) ─ pay.md
//	     ─ diary.md (bob alone)
func smallOrg() company.Organisation {
	day := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	user := func(id, role string) company.Entry { return company.Entry{Kind: "user", ID: id, Role: role} }
	group := func(id, role string) company.Entry { return company.Entry{Kind: "group", ID: id, Role: role} }
	folder := func(id, parent string, entries ...company.Entry) company.Item {
		return company.Item{ID: id, Kind: "folder", Name: id, ParentID: parent, AuthorID: "ann", Created: day, Updated: day, Inherit: true, Entries: entries}
	}
	doc := func(id, parent, body string, entries ...company.Entry) company.Item {
		it := folder(id, parent, entries...)
		it.Kind, it.MediaType, it.Body, it.Name = "file", "text/markdown", body, id+".md"
		return it
	}
	pay := folder("pay", "board", user("ann", "owner"), user("bob", "reader"))
	pay.Restricted = true
	notes := folder("notes", "handbook", group("g-loop", "writer"))
	notes.Inherit = false
	return company.Organisation{
		ID: "small", Name: "Small & Co", Domain: "small.example",
		People: []company.Person{
			{ID: "ann", Name: "Ann", Email: "ann@small.example", Title: "Director", Active: true, Verified: true},
			{ID: "bob", Name: "Bob <b>", Email: "bob@small.example", Title: "Engineer", Active: true, Verified: true},
			{ID: "eve", Name: "Eve", Email: "eve@other.example", Title: "Guest", Active: true, Verified: true},
			{ID: "old", Name: "Old", Email: "old@small.example", Title: "Left", Verified: true},
		},
		Groups: []company.Group{
			{ID: "g-team", Name: "Team", Members: []company.Ref{{Kind: "user", ID: "bob"}, {Kind: "group", ID: "g-loop"}}},
			{ID: "g-loop", Name: "Loop", Members: []company.Ref{{Kind: "group", ID: "g-team"}}},
			{ID: "g-board", Name: "Board", Members: []company.Ref{{Kind: "user", ID: "ann"}, {Kind: "user", ID: "old"}}},
		},
		Items: []company.Item{
			folder("handbook", "", company.Entry{Kind: "anyone", ID: "small", Role: "reader"}, user("ann", "owner")),
			doc("rules", "handbook", "# Rules\n\nBe kind.\n"),
			notes,
			doc("plan", "notes", "# Plan\n\nShip it.\n", user("eve", "reader")),
			folder("board", "", group("g-board", "writer")),
			doc("minutes", "board", "# Minutes\n"),
			pay,
			doc("salaries", "pay", "# Salaries\n\nMore.\n"),
			doc("diary", "", "Dear diary\n", user("bob", "owner")),
		},
	}
}

// rig is a running sandbox of the small organisation with a client.
type rig struct {
	*sandboxtest.Running
	t          testing.TB
	id, secret string
	clock      *clock
}

const redirectURI = "http://127.0.0.1:8080/oauth/callback/r1"

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func start(t testing.TB, change ...func(*sandbox.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{at: time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)}}
	r.Running = sandboxtest.Start(t, append([]func(*sandbox.Config){func(c *sandbox.Config) {
		c.Org, c.Clock = smallOrg(), r.clock.now
	}}, change...)...)
	var err error
	if r.id, r.secret, err = r.Register(redirectURI); err != nil {
		t.Fatal(err)
	}
	return r
}

const verifier = "abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEFG"

func (r *rig) authorizeURL(change ...func(url.Values)) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {r.id}, "redirect_uri": {redirectURI}, "state": {"s t&1"},
		"scope": {"account.read files.read groups.read"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for _, c := range change {
		c(q)
	}
	return r.URL + "/oauth/authorize?" + q.Encode()
}

// code returns an authorization code that a person's consent gave.
func (r *rig) code(person string, untick ...string) string {
	r.t.Helper()
	u, err := r.Browser().Consent(r.authorizeURL(), person, untick...)
	if err != nil {
		r.t.Fatal(err)
	}
	if u.Query().Get("code") == "" {
		r.t.Fatalf("no code: %s", u)
	}
	return u.Query().Get("code")
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	Description  string `json:"error_description"`
}

// answer is an HTTP answer that was read whole.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) json(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("status %d: %q: %v", a.status, a.body, err)
	}
}

func send(req *http.Request) answer {
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err}
}

// post sends a form to an endpoint as the rig's client.
func (r *rig) post(path string, form url.Values, change ...func(*http.Request)) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(r.id), url.QueryEscape(r.secret))
	for _, c := range change {
		c(req)
	}
	return send(req)
}

func (r *rig) token(form url.Values) (tokens, int) {
	r.t.Helper()
	a := r.post("/oauth/token", form)
	if a.err != nil {
		r.t.Fatal(a.err)
	}
	var tk tokens
	a.json(r.t, &tk)
	return tk, a.status
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// connect returns the tokens of a person's consent.
func (r *rig) connect(person string, untick ...string) tokens {
	r.t.Helper()
	tk, status := r.token(codeForm(r.code(person, untick...)))
	if status != http.StatusOK || tk.AccessToken == "" || tk.RefreshToken == "" {
		r.t.Fatalf("status %d: %+v", status, tk)
	}
	return tk
}

// organisation returns a token of the client itself.
func (r *rig) organisation() string {
	r.t.Helper()
	tk, status := r.token(url.Values{"grant_type": {"client_credentials"}})
	if status != http.StatusOK {
		r.t.Fatalf("status %d: %+v", status, tk)
	}
	return tk.AccessToken
}

func (r *rig) get(path, token string, change ...func(*http.Request)) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.URL+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, c := range change {
		c(req)
	}
	return send(req)
}

func wantStatus(t testing.TB, what string, a answer, status int) {
	t.Helper()
	if a.err != nil || a.status != status {
		t.Errorf("%s: got status %d (%v) %.200q, want %d", what, a.status, a.err, a.body, status)
	}
}
