package consenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
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

// drive is a Sandbox Drive with a front that counts what is asked, and remembers every secret that passes.
type drive struct {
	*sandbox.Server
	url string

	mu sync.Mutex
	// front answers in the place of the sandbox where it returns true.
	front func(w http.ResponseWriter, r *http.Request, body []byte) bool
	// content counts the downloads by item, unauthorized the API requests that were refused as 401, other the API
	// requests beside downloads.
	content      map[string]int
	unauthorized int
	other        int
	// presented counts every refresh token by how often it was sent.
	presented map[string]int
	secrets   map[string]string // what it is, with a number, by its value
}

// startDrive runs a drive with a small organisation and files that everybody of it reads.
func startDrive(t *testing.T, files int, change ...func(*sandbox.Config)) *drive {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := &drive{url: "http://localhost:" + port, content: map[string]int{}, presented: map[string]int{}, secrets: map[string]string{}}
	cfg := sandbox.Config{BaseURL: d.url, Org: organisation(files)}
	for _, c := range change {
		c(&cfg)
	}
	if d.Server, err = sandbox.New(cfg); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return d
}

const (
	ann = "usr-ann"
	bob = "usr-bob"
)

// organisation has two people, a group of both, and files at the top.
func organisation(files int) company.Organisation {
	org := company.Organisation{
		ID: "org-small", Name: "Small", Domain: "small.example",
		People: []company.Person{
			{ID: ann, Name: "Ann", Email: "ann@small.example", Active: true, Verified: true},
			{ID: bob, Name: "Bob", Email: "bob@small.example", Active: true, Verified: true},
		},
		Groups: []company.Group{{ID: "grp-all", Name: "All", Members: []company.Ref{{Kind: "user", ID: ann}, {Kind: "user", ID: bob}}}},
	}
	at := time.Date(2025, 3, 1, 9, 0, 0, 0, time.UTC)
	for i := range files {
		org.Items = append(org.Items, company.Item{
			ID: fmt.Sprintf("itm-%05d", i), Kind: "file", Name: fmt.Sprintf("note-%05d.md", i), MediaType: "text/markdown", AuthorID: ann,
			Created: at, Updated: at, Body: fmt.Sprintf("# Note %d\n\nWhat it says is number %d.\n", i, i),
			Entries: []company.Entry{{Kind: "user", ID: ann, Role: "owner"}, {Kind: "group", ID: "grp-all", Role: "reader"}},
		})
	}
	return org
}

// browser is the browser of a person at the drive.
func (d *drive) browser() *sandboxtest.Browser { return sandboxtest.NewBrowser(d.url) }

// setFront replaces the front.
func (d *drive) setFront(f func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.front = f
}

const tokenPath = "/oauth/token"

// isAPI reports whether a request is for documents rather than for consent.
func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// item returns the id of the item whose content is asked for.
func item(r *http.Request) (string, bool) {
	id, ok := strings.CutPrefix(r.URL.Path, "/api/v1/items/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(id, "/content")
}

// ServeHTTP counts, remembers, and lets the sandbox answer.
func (d *drive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	d.observe(r, body)
	d.mu.Lock()
	front := d.front
	d.mu.Unlock()
	if front != nil && front(w, r, body) {
		return
	}
	rec := &recorder{ResponseWriter: w, keep: r.URL.Path == tokenPath}
	defer func() { d.answered(r, rec) }() // also where the sandbox breaks off
	d.Handler().ServeHTTP(rec, r)
}

// observe remembers what a request carries.
func (d *drive) observe(r *http.Request, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		d.remember("access token", token)
	}
	if _, pass, ok := r.BasicAuth(); ok {
		d.remember("client secret", pass)
	}
	if r.URL.Path == "/oauth/authorize" {
		d.remember("state", r.URL.Query().Get("state"))
	}
	if r.URL.Path != tokenPath {
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return
	}
	d.remember("code", form.Get("code"))
	d.remember("verifier", form.Get("code_verifier"))
	if token := form.Get("refresh_token"); token != "" {
		d.remember("refresh token", token)
		d.presented[token]++
	}
}

// answered remembers what an answer carried.
func (d *drive) answered(r *http.Request, rec *recorder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isAPI(r) {
		id, download := item(r)
		switch {
		case rec.status == http.StatusUnauthorized:
			d.unauthorized++
		case download && rec.status == http.StatusOK:
			d.content[id]++
		default:
			d.other++
		}
	}
	if to, err := url.Parse(rec.Header().Get("Location")); err == nil && r.URL.Path == "/oauth/authorize" {
		d.remember("code", to.Query().Get("code"))
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if rec.keep && json.Unmarshal(rec.body.Bytes(), &tokens) == nil {
		d.remember("access token", tokens.Access)
		d.remember("refresh token", tokens.Refresh)
	}
}

// remember keeps a secret. The caller holds the lock.
func (d *drive) remember(what, value string) {
	if value != "" && d.secrets[value] == "" {
		d.secrets[value] = fmt.Sprintf("%s %d", what, len(d.secrets))
	}
}

// known returns the secrets by their names.
func (d *drive) known() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	byName := make(map[string]string, len(d.secrets))
	for value, name := range d.secrets {
		byName[name] = value
	}
	return byName
}

// downloads returns how often content was given out, in all and of the item that was given out most often.
func (d *drive) downloads() (all, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range maps.Values(d.content) {
		all, most = all+n, max(most, n)
	}
	return all, most
}

// refused returns how many API requests were answered with 401.
func (d *drive) refused() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unauthorized
}

// once fails unless each refresh token was presented once, and the sandbox saw none again. It returns how many were.
func (d *drive) once(t *testing.T) int {
	t.Helper()
	d.mu.Lock()
	for _, n := range d.presented {
		if n != 1 {
			t.Errorf("a refresh token was presented %d times", n)
		}
	}
	d.mu.Unlock()
	return d.reachedOnce(t)
}

// reachedOnce is once where the front may have kept a token from the sandbox.
func (d *drive) reachedOnce(t *testing.T) int {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if seen := d.Seen(); seen.Reused != 0 || seen.Refreshes != len(d.presented) {
		t.Errorf("the sandbox saw %d refreshes and %d tokens again; %d tokens were presented", seen.Refreshes, seen.Reused, len(d.presented))
	}
	return len(d.presented)
}

// recorder keeps the status of an answer, and its body where that is asked for.
type recorder struct {
	http.ResponseWriter
	status int
	keep   bool
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.keep {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// requests returns how many API requests came.
func (d *drive) requests() int {
	all, _ := d.downloads()
	d.mu.Lock()
	defer d.mu.Unlock()
	return all + d.other + d.unauthorized
}
