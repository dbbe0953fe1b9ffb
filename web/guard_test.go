package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/web"
)

func TestHostCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, method, host, path string
		status                   int
	}{
		{"the public host", "GET", "127.0.0.1:8080", "/", 200},
		{"another host", "GET", "evil.example", "/", 421},
		{"another host for the API", "POST", "evil.example:8080", "/v1/search", 421},
		{"another port", "GET", "127.0.0.1:9999", "/", 421},
		{"loopback's other name goes to the configured one", "GET", "localhost:8080", "/", 307},
		{"loopback's other name for the API", "POST", "localhost:8080", "/v1/search", 421},
		{"a probe by another address", "GET", "10.1.2.3:8080", "/healthz", 200},
		{"a probe by localhost", "GET", "localhost:8080", "/readyz", 200},
		{"a probe by another name", "GET", "evil.example", "/healthz", 421},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body := ""
			if tc.method == "POST" {
				body = `{"query":"x"}`
			}
			r := request(tc.method, tc.path, body)
			r.Host = tc.host
			r.Header.Set("X-Forwarded-Host", "127.0.0.1:8080")
			resp := newSite(t, nil).do(r)
			if resp.StatusCode != tc.status {
				t.Fatalf("got %d, want %d", resp.StatusCode, tc.status)
			}
			switch tc.status {
			case 421:
				problemOf(t, resp)
			case 307:
				if got := resp.Header.Get("Location"); got != "http://127.0.0.1:8080/" {
					t.Errorf("sent to %q", got)
				}
			}
		})
	}
}

func TestPlainHTTPIsForProxies(t *testing.T) {
	t.Parallel()
	for remote, status := range map[string]int{"10.0.0.5:1234": 200, "127.0.0.1:1234": 200, "[::ffff:10.0.0.5]:99": 200, "192.0.2.9:1234": 403, "[2001:db8::1]:5": 403} {
		s := newSite(t, func(c *web.Config) {
			c.ListenerIsPublic, c.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})
		r := request("GET", "/", "")
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "10.0.0.5")
		if got := s.do(r).StatusCode; got != status {
			t.Errorf("%s: got %d, want %d", remote, got, status)
		}
	}
}

func TestForwardedAddressIsBelievedFromProxiesOnly(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{"10.0.0.5:1": "ip=203.0.113.7", "192.0.2.9:1": "ip=192.0.2.9"} {
		s := newSite(t, func(c *web.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		r := request("GET", "/", "")
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		s.do(r)
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("from %s: the log says %s", remote, s.log)
		}
	}
}

func TestSecurityHeadersEverywhere(t *testing.T) {
	t.Parallel()
	https, err := url.Parse("https://tributary.example.org")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *web.Config) { c.PublicURL = https })
	for _, path := range []string{"/", "/style.css", "/healthz", "/v1/search", "/nowhere", "/v1/documents/x"} {
		r := request("GET", path, "")
		r.Host = "tributary.example.org"
		h := s.do(r).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Strict-Transport-Security": "max-age=31536000",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ method, path string }{
		{"TRACE", "/"}, {"CONNECT", "/"}, {"TRACE", "/v1/search"}, {"GET", "/v1/search"}, {"DELETE", "/v1/documents/" + uuid.NewString()}, {"POST", "/"},
	} {
		resp := newSite(t, nil).do(request(tc.method, tc.path, ""))
		if resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: got %d, Allow %q", tc.method, tc.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
		problemOf(t, resp)
	}
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	t.Parallel()
	r := request("POST", "/v1/search", `{"query":"x"}`)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := problemOf(t, newSite(t, nil).do(r)); p.Status != 403 {
		t.Errorf("got %d", p.Status)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) {
		c.Ready = func(context.Context) error { return errors.New("database 10.0.0.9 is gone") }
	})
	resp := s.do(request("GET", "/readyz", ""))
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 503 || strings.Contains(string(body), "10.0.0.9") {
		t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
	}
	if resp := s.do(request("GET", "/healthz", "")); resp.StatusCode != 200 {
		t.Errorf("health: %d", resp.StatusCode)
	}
}

func TestLandingPageTellsHowToAsk(t *testing.T) {
	t.Parallel()
	resp := newSite(t, nil).do(request("GET", "/", ""))
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "http://127.0.0.1:8080/v1/search") || strings.Count(string(body), "<script") != 1 {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tc := range []struct {
		name, path string
		change     func(*http.Request)
		status     int
		code       string
	}{
		{"no key", "/v1/search", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "unauthenticated"},
		{"unknown key", "/v1/search", set("Authorization", "Bearer trib_other"), 401, "unauthenticated"},
		{"another scheme", "/v1/search", set("Authorization", "Basic "+goodKey), 401, "unauthenticated"},
		{"bare token", "/v1/search", set("Authorization", goodKey), 401, "unauthenticated"},
		{"two tokens", "/v1/search", set("Authorization", "Bearer trib_x "+goodKey), 401, "unauthenticated"},
		{"two headers", "/v1/search", func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+goodKey) }, 401, "unauthenticated"},
		{"key in the query only", "/v1/search?access_token=" + goodKey, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "unauthenticated"},
		{"endless token", "/v1/search", set("Authorization", "Bearer "+strings.Repeat("a", 5000)), 401, "unauthenticated"},
		{"key without the right", "/v1/search", set("Authorization", "Bearer "+noneKey), 403, "insufficient_scope"},
		{"key that names a reader", "/v1/search", set("Tributary-Reader", "somebody"), 403, "insufficient_scope"},
		{"key that names an empty reader", "/v1/search", set("Tributary-Reader", ""), 403, "insufficient_scope"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			r := request("POST", tc.path, `{"query":"x"}`)
			tc.change(r)
			resp := s.do(r)
			challenge := resp.Header.Get("WWW-Authenticate")
			p := problemOf(t, resp)
			if p.Status != tc.status || p.Code != tc.code || !strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("got %d %s with challenge %q", p.Status, p.Code, challenge)
			}
			if len(s.store.requests()) != 0 {
				t.Error("the store was asked")
			}
			if strings.Contains(s.log.String(), goodKey) {
				t.Error("the log holds the key")
			}
		})
	}
}
