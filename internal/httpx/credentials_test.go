package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tributary/connectors"
)

// seen is what a request carried.
func seen(r *http.Request) string {
	return fmt.Sprintf("auth=%t cookie=%t key=%t referer=%t", r.Header.Get("Authorization") != "", r.Header.Get("Cookie") != "",
		r.Header.Get("Private-Token") != "", r.Header.Get("Referer") != "")
}

const (
	nothing    = "auth=false cookie=false key=false referer=false"
	everything = "auth=true cookie=true key=true referer=false"
)

// TestCredentialsStayAtTheirHosts: they reach listed hosts only, and none by a redirect from another host, listed or not, to and fro.
func TestCredentialsStayAtTheirHosts(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		next, rest, more := strings.Cut(r.URL.Query().Get("via"), ",")
		if next == "" {
			fmt.Fprint(w, seen(r))
			return
		}
		if more {
			next += "?via=" + rest
		}
		http.Redirect(w, r, next, http.StatusFound)
	}
	a, b, stranger := server(t, handler), server(t, handler), server(t, handler)
	c := plain(t, Options{
		CredentialHosts:   []string{a.Listener.Addr().String(), b.Listener.Addr().String()},
		CredentialHeaders: []string{"private-token"},
	}, a, b, stranger)
	localA := strings.Replace(a.URL, "127.0.0.1", "localhost", 1)
	both := client(t, Options{
		PlainLoopback: true, Allow: allow(t, a.Listener.Addr().String(), strings.TrimPrefix(localA, "http://")),
		CredentialHosts: []string{a.Listener.Addr().String(), strings.TrimPrefix(localA, "http://")},
	})
	for name, tc := range map[string]struct {
		client *http.Client
		start  string
		want   string
	}{
		"a listed host":                       {c, a.URL, everything},
		"a host that is not listed":           {c, stranger.URL, nothing},
		"a redirect within a host":            {c, a.URL + "?via=" + a.URL + "/x", everything},
		"a redirect to a stranger":            {c, a.URL + "?via=" + stranger.URL, nothing},
		"a redirect to another listed host":   {c, a.URL + "?via=" + b.URL, nothing},
		"a redirect there and back":           {c, a.URL + "?via=" + stranger.URL + "," + a.URL, nothing},
		"a stranger's redirect to a listed":   {c, stranger.URL + "?via=" + a.URL, nothing},
		"another name of the same host":       {both, a.URL + "?via=" + localA, nothing},
		"the other name in the first request": {both, localA, "auth=true cookie=true key=true referer=false"},
	} {
		// wrapped puts the credentials on at every hop, as an authorised client does.
		for _, cl := range []*http.Client{tc.client, {Transport: authorising{tc.client.Transport}}} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.start, nil)
			if err != nil {
				t.Fatal(err)
			}
			setCredentials(req)
			resp, err := Do(cl, req)
			want := tc.want
			if tc.client == both { // where Private-Token is no credential
				want = strings.Replace(want, "key=false", "key=true", 1)
			}
			if got := text(t, resp, err); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			if req.Header.Get("Authorization") == "" {
				t.Errorf("%s: the caller's request was changed", name)
			}
		}
	}
}

func setCredentials(req *http.Request) {
	req.Header.Set("Authorization", "Bearer "+canary)
	req.Header.Set("Cookie", "session="+canary)
	req.Header.Set("Private-Token", canary)
}

type authorising struct{ next http.RoundTripper }

func (a authorising) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	setCredentials(out)
	return a.next.RoundTrip(out)
}

// TestBodiesCrossNoHosts: 307 and 308 keep the body, which stays at its host.
func TestBodiesCrossNoHosts(t *testing.T) {
	t.Parallel()
	second := listenDead(t, "127.0.0.1:0")
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			fmt.Fprint(w, r.FormValue("refresh_token"))
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	c := client(t, Options{PlainLoopback: true, Allow: allow(t, s.Listener.Addr().String(), second.Addr().String())})
	post := func(to string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"?to="+to, form())
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return Do(c, req)
	}
	_, err := post("http://" + second.Addr().String())
	wantError(t, err, ErrRedirect, connectors.Invalid)
	if n := second.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
	resp, err := post("/end")
	if got := text(t, resp, err); got != canary {
		t.Errorf("within the host: %q", got)
	}
}

// TestHostHeader: the URL alone says whom the request speaks to.
func TestHostHeader(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, " ", r.UserAgent()) })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "internal.example.com"
	resp, err := Do(plain(t, Options{UserAgent: "tests"}, s), req)
	if got, want := text(t, resp, err), s.Listener.Addr().String()+" tests"; got != want {
		t.Errorf("host and agent %q, want %q", got, want)
	}
}

// TestErrorsAreRedacted: no error holds a query, a credential, a body, an address that was resolved, or a Location.
func TestErrorsAreRedacted(t *testing.T) {
	t.Parallel()
	mux := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/location":
			w.Header().Set("Location", "http://["+canary)
			w.WriteHeader(http.StatusFound)
		case "/status":
			http.Error(w, canary, http.StatusTeapot)
		default:
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "%s is no HTTP\r\n\r\n", canary)
				conn.Close()
			}
		}
	}
	s := httptest.NewServer(http.HandlerFunc(mux))
	t.Cleanup(s.Close)
	at := s.Listener.Addr().String()
	gone := listenDead(t, "127.0.0.1:0")
	gone.Close()
	c := plain(t, Options{CredentialHosts: []string{at}, Allow: AllowList{}}, s)
	c.Transport.(*transport).guard.allow.endpoints[gone.Addr().String()] = true
	for name, address := range map[string]string{
		"a bad Location":   s.URL + "/location?code=" + canary,
		"no HTTP":          s.URL + "/?access_token=" + canary,
		"nobody there":     "http://" + gone.Addr().String() + "/?code=" + canary,
		"refused":          "https://10.0.0.1/?code=" + canary,
		"credentials":      "https://user:" + canary + "@example.com/",
		"a hostile header": s.URL + "/?q=" + canary,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name == "a hostile header" {
			req.Header.Set("Authorization", "Bearer "+canary+"\nX: y")
		}
		_, err = Do(c, req)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for text := range map[string]bool{err.Error(): true, fmt.Sprintf("%+v", err): true, fmt.Sprintf("%#v", errors.Unwrap(err)): true} {
			if strings.Contains(text, canary) || strings.Contains(text, "dial tcp") || strings.Contains(text, "?") {
				t.Errorf("%s: %s", name, text)
			}
		}
		if _, ok := errors.AsType[*connectors.Error](err); !ok {
			t.Errorf("%s: %T has no class", name, err)
		}
	}
	resp, err := get(t, c, s.URL+"/status")
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckStatus("listing files", resp, RetryHeaders{}); err == nil ||
		err.Error() != "listing files: the server answered HTTP 418 (I'm a teapot)" {
		t.Errorf("status: %v", err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	lost := &connectors.Error{Op: "refreshing", Class: connectors.GrantLost}
	around := func(err error) error { return &url.Error{Op: "Get", URL: "https://a.test/?code=" + canary, Err: err} }
	for name, c := range map[string]struct {
		err   error
		class connectors.Class
	}{
		"a class is kept":           {around(fmt.Errorf("wrapping: %w", lost)), connectors.GrantLost},
		"another text goes":         {around(errors.New(canary)), connectors.Transient},
		"wrapped once more":         {fmt.Errorf("listing: %w", around(errors.New(canary))), connectors.Transient},
		"a URL that is none":        {&url.Error{Op: "parse", URL: "://" + canary, Err: errors.New(canary)}, connectors.Invalid},
		"an error of somebody else": {lost, connectors.GrantLost},
	} {
		got := Redact(c.err)
		if connectors.ClassOf(got) != c.class || strings.Contains(got.Error(), canary) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Redact(nil) != nil {
		t.Error("nil became an error")
	}
	_, err := Do(http.DefaultClient, &http.Request{})
	if connectors.ClassOf(err) != connectors.Bug {
		t.Errorf("no address: %v", err)
	}
}
