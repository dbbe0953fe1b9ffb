package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/connectors"
)

// service returns an API of a server, and what it waited for.
func service(t *testing.T, h http.HandlerFunc, others ...*httptest.Server) (*API, *waits) {
	t.Helper()
	s := server(t, h)
	clock := &waits{fakeClock: newClock()}
	return &API{HTTP: plain(t, Options{CredentialHosts: []string{s.Listener.Addr().String()}}, append(others, s)...), Base: s.URL + "/v1", Retry: Retry{Clock: clock}}, clock
}

// statuses answers with one after the other; the last repeats.
func statuses(header http.Header, body string, list ...int) (http.HandlerFunc, *atomic.Int64) {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(list[min(int(n.Add(1)), len(list))-1])
		if body != "" {
			fmt.Fprint(w, body)
		}
	}, &n
}

const opTest = "listing things"

// TestAPIRepeats: what is tried again, how often, and the class that remains.
func TestAPIRepeats(t *testing.T) {
	t.Parallel()
	soon, late := http.Header{"Retry-After": {"2"}}, http.Header{"Retry-After": {"60"}}
	for name, c := range map[string]struct {
		header   http.Header
		statuses []int
		item     bool
		requests int
		class    connectors.Class // Unknown with status 0 is success
		after    time.Duration
		failed   bool
	}{
		"success":                        {nil, []int{200}, false, 1, 0, 0, false},
		"an outage that ends":            {nil, []int{503, 502, 500, 200}, false, 4, 0, 0, false},
		"an outage":                      {nil, []int{503}, false, 4, connectors.Transient, 0, true},
		"an outage that says when":       {soon, []int{503, 200}, false, 2, 0, 0, false},
		"an outage that is long":         {late, []int{503, 200}, false, 1, connectors.Transient, time.Minute, true},
		"a limit that says when":         {soon, []int{429, 200}, false, 2, 0, 0, false},
		"a limit that is long":           {late, []int{429, 200}, false, 1, connectors.RateLimited, time.Minute, true},
		"a limit that does not say when": {nil, []int{429, 200}, false, 1, connectors.RateLimited, 0, true},
		"a 403 that says when":           {soon, []int{403, 200}, false, 2, 0, 0, false},
		"a missing right":                {nil, []int{403, 200}, false, 1, connectors.ScopeDenied, 0, true},
		"a lost grant":                   {nil, []int{401, 200}, false, 1, connectors.GrantLost, 0, true},
		"an old cursor":                  {nil, []int{410, 200}, false, 1, connectors.CursorExpired, 0, true},
		"nothing there":                  {nil, []int{404, 200}, false, 1, connectors.Unknown, 0, true},
		"a created thing":                {nil, []int{201, 200}, false, 2, 0, 0, false},
		"no content for content":         {nil, []int{204}, false, 4, connectors.Transient, 0, true},
		"unasked not modified":           {nil, []int{304}, false, 4, connectors.Transient, 0, true},
		"an item not given out":          {nil, []int{403, 200}, true, 1, connectors.ItemRefused, 0, true},
		"an item that is gone":           {nil, []int{410, 200}, true, 1, connectors.ItemRefused, 0, true},
		"an item that is not there":      {nil, []int{404, 200}, true, 1, connectors.ItemRefused, 0, true},
		"a limit at an item":             {late, []int{403, 200}, true, 1, connectors.RateLimited, time.Minute, true},
		"a lost grant at an item":        {nil, []int{401, 200}, true, 1, connectors.GrantLost, 0, true},
		"an outage at an item":           {nil, []int{500}, true, 4, connectors.Transient, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"a":1}`
			if slices.Contains(c.statuses, 204) || slices.Contains(c.statuses, 304) {
				body = ""
			}
			h, n := statuses(c.header, body, c.statuses...)
			a, clock := service(t, h)
			call := Call{Op: opTest, Path: "x"}
			if c.item {
				call.Ref = connectors.ItemRef{ID: "7", Revision: "1"}
			}
			var v struct{ A int }
			_, err := a.JSON(t.Context(), call, &v)
			if int(n.Load()) != c.requests || len(clock.list) != c.requests-1 {
				t.Errorf("%d requests after waits %v, want %d", n.Load(), clock.list, c.requests)
			}
			if !c.failed {
				if err != nil || v.A != 1 {
					t.Fatalf("%v, %+v", err, v)
				}
				return
			}
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || e.Class != c.class || e.RetryAfter != c.after || e.Op != opTest {
				t.Fatalf("%#v, want class %s after %s", err, c.class, c.after)
			}
			if s, ok := errors.AsType[*StatusError](err); !ok || s.Code != c.statuses[len(c.statuses)-1] && s.Code != c.statuses[0] {
				t.Errorf("the status is not in %v", err)
			}
			if c.class == connectors.ItemRefused && e.Ref != call.Ref {
				t.Errorf("the refusal names %v", e.Ref)
			}
			for _, d := range clock.list {
				if c.header != nil && d < 2*time.Second {
					t.Errorf("waited %s, less than the server asked", d)
				}
			}
		})
	}
}

// TestAPIJudge: what only the body says decides, and only where the API's owner knows better.
func TestAPIJudge(t *testing.T) {
	t.Parallel()
	judge := func(r Refusal) *connectors.Error {
		switch {
		case bytes.Contains(r.Body, []byte("rateLimitExceeded")):
			return &connectors.Error{Op: r.Call.Op, Class: connectors.RateLimited, Err: errors.New("too much")}
		case bytes.Contains(r.Body, []byte("accessNotConfigured")):
			return &connectors.Error{Op: r.Call.Op, Class: connectors.Invalid, Code: "api_not_enabled", Err: errors.New("enable it")}
		case r.Status == http.StatusNoContent:
			return &connectors.Error{Op: r.Call.Op, Class: connectors.ItemSkipped, Err: errors.New("empty")}
		}
		return nil
	}
	for name, c := range map[string]struct {
		header   http.Header
		body     string
		statuses []int
		requests int
		class    connectors.Class
		after    time.Duration
		code     string
	}{
		"a limit without a time":       {nil, `{"reason":"rateLimitExceeded"}`, []int{403}, 1, connectors.RateLimited, 0, ""},
		"a limit with a short time":    {http.Header{"Retry-After": {"1"}}, `rateLimitExceeded`, []int{403}, 4, connectors.RateLimited, time.Second, ""},
		"a limit with a long time":     {http.Header{"Retry-After": {"90"}}, `rateLimitExceeded`, []int{403}, 1, connectors.RateLimited, 90 * time.Second, ""},
		"a wall":                       {nil, `accessNotConfigured`, []int{403}, 1, connectors.Invalid, 0, "api_not_enabled"},
		"a wall that names a time":     {http.Header{"Retry-After": {"1"}}, `accessNotConfigured`, []int{403}, 1, connectors.Invalid, 0, "api_not_enabled"},
		"what the judge does not know": {nil, `other`, []int{403}, 1, connectors.ScopeDenied, 0, ""},
		"a success that is none":       {nil, ``, []int{204}, 1, connectors.ItemSkipped, 0, ""},
		"words beyond what is read":    {nil, strings.Repeat(" ", maxRefusal) + `accessNotConfigured`, []int{403}, 1, connectors.ScopeDenied, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, n := statuses(c.header, c.body, c.statuses...)
			a, _ := service(t, h)
			a.Judge = judge
			_, err := a.JSON(t.Context(), Call{Op: opTest, Path: "x"}, &struct{}{})
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || e.Class != c.class || e.RetryAfter != c.after || e.Code != c.code || int(n.Load()) != c.requests {
				t.Errorf("%d requests: %#v", n.Load(), err)
			}
		})
	}
}

// TestAPIRequest: what is sent, and where it goes.
func TestAPIRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, `{}`)
	})
	a.Header = http.Header{"x-api": {"2026"}, "Accept": {"text/plain"}}
	c := Call{
		Op: opTest, Path: "/a%2Fb/c", Query: url.Values{"q": {"ä&b"}}, Accept: "application/json", Header: http.Header{"X-One": {"1"}},
		Kept: Validators{ETag: `"7"`},
	}
	if _, err := a.JSON(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodGet || got.RequestURI != "/v1/a%2Fb/c?q=%C3%A4%26b" {
		t.Errorf("%s %s", got.Method, got.RequestURI)
	}
	for name, want := range map[string]string{"X-Api": "2026", "X-One": "1", "Accept": "application/json", "If-None-Match": `"7"`} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	a.Base += "/"
	if _, err := a.JSON(t.Context(), Call{Op: opTest, Path: "d"}, nil); err != nil || got.RequestURI != "/v1/d" {
		t.Errorf("%v, %s", err, got.RequestURI)
	}
}

// TestAPIElsewhere: no address that an answer names leads to another server, and nothing is sent.
func TestAPIElsewhere(t *testing.T) {
	t.Parallel()
	other := listenDead(t, "127.0.0.1:0")
	var n atomic.Int64
	a, clock := service(t, func(w http.ResponseWriter, _ *http.Request) { n.Add(1); fmt.Fprint(w, `[]`) })
	host := strings.TrimPrefix(strings.TrimSuffix(a.Base, "/v1"), "http://")
	for _, address := range []string{
		"http://" + other.Addr().String() + "/v1/x", "//" + other.Addr().String() + "/x", "https://" + host + "/v1/x", "http://user:" + canary + "@" + host + "/v1/x",
		"http://" + host + ".example.com/x", "http://127.0.0.1/x", "file:///etc/passwd", "javascript:alert(1)", "http://" + host + "@evil.example/x", "http:x", ":", "http://%zz/",
		"http://" + host + "0/x", "http://127.1:" + host[strings.LastIndex(host, ":")+1:] + "/x",
	} {
		_, err := a.JSON(t.Context(), Call{Op: opTest, URL: address}, nil)
		if !errors.Is(err, errElsewhere) || connectors.ClassOf(err) != connectors.Transient {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "evil")) {
			t.Errorf("the error quotes: %v", err)
		}
	}
	if n.Load() != 0 || other.connects.Load() != 0 || len(clock.list) != 0 {
		t.Errorf("%d requests here, %d elsewhere, waits %v", n.Load(), other.connects.Load(), clock.list)
	}
	for _, address := range []string{"http://" + host + "/v1/x?page=2", "HTTP://" + host + "/elsewhere", "/y", "?page=3", "x"} {
		if _, err := a.JSON(t.Context(), Call{Op: opTest, URL: address}, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for base, address := range map[string]string{
		"https://api.example.com": "https://api.example.com:443/x", "https://API.example.com:443/v3": "https://api.example.com/x", "http://localhost:80": "http://localhost/x",
	} {
		if got, err := (&API{Base: base}).address(Call{URL: address}); err != nil || got != address {
			t.Errorf("%s at %s: %q, %v", address, base, got, err)
		}
	}
}

// TestAPIRedirects: one to the same server is followed with the credentials, one to another goes without.
func TestAPIRedirects(t *testing.T) {
	t.Parallel()
	var there http.Header
	other := server(t, func(w http.ResponseWriter, r *http.Request) { there = r.Header; fmt.Fprint(w, `{}`) })
	var here []string
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		here = append(here, r.URL.Path+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/v1/renamed":
			http.Redirect(w, r, "/v1/new", http.StatusMovedPermanently)
		case "/v1/archive":
			http.Redirect(w, r, other.URL+"/file", http.StatusFound)
		default:
			fmt.Fprint(w, `{}`)
		}
	}, other)
	a.Header = http.Header{"Authorization": {"Bearer " + canary}}
	for _, path := range []string{"renamed", "archive"} {
		if _, err := a.JSON(t.Context(), Call{Op: opTest, Path: path}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"/v1/renamed Bearer " + canary, "/v1/new Bearer " + canary, "/v1/archive Bearer " + canary}; !slices.Equal(here, want) {
		t.Errorf("here %q", here)
	}
	if there == nil || there.Get("Authorization") != "" || strings.Contains(fmt.Sprint(there), canary) {
		t.Errorf("the other server got %v", there)
	}
}

// TestAPIRefusedElsewhere: a link to another server that has expired ends no grant, and a refusal of this one does.
func TestAPIRefusedElsewhere(t *testing.T) {
	t.Parallel()
	for status, here := range map[int]connectors.Class{
		http.StatusUnauthorized: connectors.GrantLost, http.StatusForbidden: connectors.ScopeDenied, http.StatusGone: connectors.CursorExpired,
	} {
		other := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/signed" {
				http.Redirect(w, r, other.URL+"/file", http.StatusFound)
				return
			}
			w.WriteHeader(status)
		}, other)
		there := connectors.Transient
		if status == http.StatusGone {
			there = here
		}
		for path, want := range map[string]connectors.Class{"own": here, "signed": there} {
			if _, err := a.JSON(t.Context(), Call{Op: opTest, Path: path}, nil); connectors.ClassOf(err) != want {
				t.Errorf("%d at %s is %s, want %s: %v", status, path, connectors.ClassOf(err), want, err)
			}
		}
	}
}

// TestAPIAnswers: what is JSON, how much of it, and what is the same as before.
func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	var cut atomic.Int64
	a, clock := service(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/html":
			fmt.Fprint(w, "<html>"+canary)
		case "/v1/two":
			fmt.Fprint(w, `{} {}`)
		case "/v1/kind":
			fmt.Fprintf(w, `{"a":%q}`, canary)
		case "/v1/huge":
			_, _ = io.CopyN(w, endless(' '), maxJSON-1)
			fmt.Fprint(w, "{}")
		case "/v1/full":
			_, _ = io.CopyN(w, endless(' '), maxJSON-2)
			fmt.Fprint(w, "{}")
		case "/v1/cut":
			w.Header().Set("Content-Length", "9")
			if cut.Add(1) < 3 {
				fmt.Fprint(w, `{"a"`)
			} else {
				fmt.Fprint(w, `{"a":321}`)
			}
		case "/v1/none":
			w.WriteHeader(http.StatusNoContent)
		case "/v1/kept":
			w.Header().Set("Etag", `"9"`)
			if r.Header.Get("If-None-Match") == `"9"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprint(w, `{"a":5}`)
		}
	})
	var v struct{ A int }
	for _, path := range []string{"html", "two", "kind", "huge"} {
		m, err := a.JSON(t.Context(), Call{Op: opTest, Path: path}, &v)
		if !errors.Is(err, errNoJSON) || connectors.ClassOf(err) != connectors.Transient || strings.Contains(err.Error(), canary) || m.Status != 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(clock.list) != 0 {
		t.Errorf("waited %v for an answer that is whole and wrong", clock.list)
	}
	if _, err := a.JSON(t.Context(), Call{Op: opTest, Path: "full"}, &v); err != nil {
		t.Errorf("an answer of the largest size: %v", err)
	}
	if _, err := a.JSON(t.Context(), Call{Op: opTest, Path: "cut"}, &v); err != nil || v.A != 321 || cut.Load() != 3 {
		t.Errorf("an answer that broke off twice: %v, %+v after %d", err, v, cut.Load())
	}
	if m, err := a.JSON(t.Context(), Call{Op: opTest, Path: "none"}, nil); err != nil || m.Status != http.StatusNoContent {
		t.Errorf("no content: %v, %+v", err, m)
	}
	v.A = 0
	m, err := a.JSON(t.Context(), Call{Op: opTest, Path: "kept"}, &v)
	if err != nil || v.A != 5 || m.NotModified || m.Kept.ETag != `"9"` {
		t.Fatalf("%v, %+v, %+v", err, m, v)
	}
	v.A = 0
	if m, err = a.JSON(t.Context(), Call{Op: opTest, Path: "kept", Kept: m.Kept}, &v); err != nil || v.A != 0 || !m.NotModified || m.Kept.ETag != `"9"` {
		t.Errorf("%v, %+v, %+v", err, m, v)
	}
	content, m, err := a.Open(t.Context(), Call{Op: opTest, Path: "kept", Kept: m.Kept})
	if err != nil || !m.NotModified {
		t.Fatalf("%v, %+v", err, m)
	}
	if err := content.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := a.Open(t.Context(), Call{Op: opTest, Path: "none"}); connectors.ClassOf(err) != connectors.Transient {
		t.Errorf("content that is none: %v", err)
	}
}
