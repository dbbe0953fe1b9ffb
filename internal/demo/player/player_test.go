package player

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"tributary/internal/secret"
)

// serve answers every path with the page that pages has for it.
func serve(t *testing.T, pages map[string]http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range pages {
		mux.HandleFunc(pattern, h)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func newPlayer(t *testing.T, public, sandbox string) *Player {
	t.Helper()
	p, err := New(Config{Public: public, Sandbox: sandbox, Admin: "ada", Password: secret.New("pass-word-1"), Name: "drive", Person: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

const signInForm = `<form method="post" action="/signin"><input type="hidden" name="next" value="/x"><input name="name"><input type="password" name="password"></form>`

// TestNothingGoesElsewhere: a form or redirect that leads to another server gets nothing.
func TestNothingGoesElsewhere(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	other := serve(t, map[string]http.HandlerFunc{"/": func(http.ResponseWriter, *http.Request) { hits.Add(1) }})
	public := serve(t, map[string]http.HandlerFunc{
		"GET /signin": says(http.StatusOK, signInForm),
		"POST /signin": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other+"/", http.StatusTemporaryRedirect)
		},
	})
	if err := newPlayer(t, public, public).SignIn(t.Context()); err == nil || !strings.Contains(err.Error(), "neither Tributary nor the sandbox") {
		t.Errorf("a redirect elsewhere: %v", err)
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("another server got %d requests", n)
	}
}

// TestRedirectsCarryNothing: what follows a form is a GET without it, and the page's own origin goes with a form only.
func TestRedirectsCarryNothing(t *testing.T) {
	t.Parallel()
	var form url.Values
	var origin, after string
	public := serve(t, map[string]http.HandlerFunc{
		"GET /signin": says(http.StatusOK, signInForm),
		"POST /signin": func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			form, origin = r.PostForm, r.Header.Get("Origin")
			http.Redirect(w, r, "/in", http.StatusSeeOther)
		},
		"/in": func(w http.ResponseWriter, r *http.Request) {
			after = r.Method + r.Header.Get("Origin") + r.Header.Get("Content-Type")
			says(http.StatusOK, "<h1>In</h1>")(w, r)
		},
	})
	if err := newPlayer(t, public, public).SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if form.Get("name") != "ada" || form.Get("password") != "pass-word-1" || form.Get("next") != "/x" || origin != public || after != http.MethodGet {
		t.Errorf("sent %v from %q, then %q", form, origin, after)
	}
}

// TestAPageThatRefuses is an error that says where and what, and holds no secret.
func TestAPageThatRefuses(t *testing.T) {
	t.Parallel()
	refusal := `<h1>Set up</h1><p role="alert">The token is not right.</p><form method="post" action="/setup"></form>`
	public := serve(t, map[string]http.HandlerFunc{
		"GET /setup": says(http.StatusOK, refusal), "POST /setup": says(http.StatusForbidden, refusal), "GET /connect/{ticket}": says(http.StatusNotFound, "<h1>This link is over</h1>"),
	})
	p := newPlayer(t, public, public)
	err := p.SetUp(t.Context(), secret.New("tok-en-1"))
	step, ok := errors.AsType[*StepError](err)
	if !ok || step.Status != http.StatusForbidden || step.Says != "The token is not right." || !strings.HasSuffix(step.Path, "/setup") {
		t.Errorf("the error is %v", err)
	}
	if strings.Contains(err.Error(), "tok-en-1") || strings.Contains(err.Error(), "pass-word-1") {
		t.Errorf("the error holds a secret: %v", err)
	}
	if err := p.Ticket(t.Context(), secret.New(public+"/connect/t1cket")); err == nil || strings.Contains(err.Error(), "t1cket") {
		t.Errorf("a link that is over: %v", err)
	}
}

// TestACircleEnds: pages that redirect to each other are left.
func TestACircleEnds(t *testing.T) {
	t.Parallel()
	public := serve(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }})
	if err := newPlayer(t, public, public).SignIn(t.Context()); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("the error is %v", err)
	}
}

// TestFormsAreSentAsBrowsersSendThem: boxes that are not ticked are not sent, a select sends what is chosen.
func TestFormsAreSentAsBrowsersSendThem(t *testing.T) {
	t.Parallel()
	p, err := readPage(&url.URL{Scheme: "http", Host: "h", Path: "/"}, http.StatusOK, `<form action="/f" method="post">
		<input type="checkbox" name="scope" value="a" checked><input type="checkbox" name="scope" value="b" checked><input type="checkbox" name="no" value="1">
		<input type="radio" name="kind" value="x"><input type="radio" name="kind" value="y" checked><input type="submit" name="go" value="Go">
		<select name="one"><option value="1">1</option><option value="2" selected>2</option></select><select name="first"><option value="3">3</option></select>
		<textarea name="text">
two lines
here</textarea><input value="nameless"></form>`)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := p.form("/f")
	if !ok {
		t.Fatal("no form")
	}
	want := url.Values{"scope": {"a", "b"}, "kind": {"y"}, "one": {"2"}, "first": {"3"}, "text": {"two lines\nhere"}}
	if f.values.Encode() != want.Encode() || f.method != http.MethodPost {
		t.Errorf("sends %v by %s, want %v", f.values, f.method, want)
	}
	if f.tick("no"); f.values.Get("no") != "1" {
		t.Errorf("a ticked box is sent as %q", f.values.Get("no"))
	}
}
