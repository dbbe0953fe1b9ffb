package httpx

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

// withResolver makes c ask r.
func withResolver(c *http.Client, r *net.Resolver) *http.Client {
	c.Transport.(*transport).guard.resolver = r
	return c
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// TestRefusedAddresses: what must not be reached is refused with one text, and nothing connects.
func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	victim := listenDead(t, "127.0.0.1:0")
	p := port(victim)
	c := client(t, Options{PlainLoopback: true, Allow: allow(t, fmt.Sprintf("elsewhere.test:%d", p))})
	texts := map[string]bool{}
	for name, address := range map[string]string{
		"loopback":                   fmt.Sprintf("http://127.0.0.1:%d/", p),
		"loopback at 443":            "https://127.0.0.1/",
		"loopback by name":           fmt.Sprintf("http://localhost:%d/", p),
		"loopback by name at 443":    "https://localhost/",
		"v6 loopback":                "https://[::1]/",
		"decimal":                    fmt.Sprintf("http://2130706433:%d/", p),
		"octal":                      fmt.Sprintf("http://0177.0.0.1:%d/", p),
		"octal in one":               "https://017700000001/",
		"hexadecimal":                fmt.Sprintf("http://0x7f000001:%d/", p),
		"hexadecimal in parts":       "https://0x7f.0x0.0x0.0x1/",
		"shortened":                  fmt.Sprintf("http://127.1:%d/", p),
		"unspecified":                fmt.Sprintf("http://0.0.0.0:%d/", p),
		"v6 unspecified":             "https://[::]/",
		"v4-mapped loopback":         fmt.Sprintf("http://[::ffff:127.0.0.1]:%d/", p),
		"v4-mapped metadata":         "https://[::ffff:169.254.169.254]/",
		"v4-mapped, hexadecimal":     "https://[::ffff:a9fe:a9fe]/",
		"v4-compatible":              "https://[::127.0.0.1]/",
		"NAT64 of loopback":          "https://[64:ff9b::7f00:1]/",
		"6to4 of loopback":           "https://[2002:7f00:1::1]/",
		"Teredo":                     "https://[2001:0:7f00:1::1]/",
		"a zone":                     "https://[fe80::1%25lo]/",
		"metadata":                   "https://169.254.169.254/latest/meta-data/",
		"v6 metadata":                "https://[fd00:ec2::254]/",
		"Azure host agent":           "https://168.63.129.16/",
		"RFC 1918":                   "https://10.0.0.1/",
		"RFC 6598":                   "https://100.64.0.1/",
		"ULA":                        "https://[fd12::1]/",
		"multicast":                  "https://224.0.0.1/",
		"broadcast":                  "https://255.255.255.255/",
		"another port":               "https://example.com:22/",
		"port 0":                     "https://example.com:0/",
		"ftp":                        "ftp://example.com/",
		"a user":                     "https://user@example.com/",
		"a user with password":       "https://user:pass@example.com/",
		"full-width digits":          "https://１２７.0.0.1/",
		"a name that is not ASCII":   "https://exämple.com/",
		"an empty label":             "https://example..com/",
		"no host":                    "https:///path",
		"a dot for a host":           "https://./",
		"a name with a final number": "https://example.0x1/",
	} {
		resp, err := get(t, c, address)
		if err == nil {
			t.Errorf("%s: answered %s", name, resp.Status)
			continue
		}
		wantError(t, err, ErrRefused, connectors.Invalid)
		// Hosts that only resolving unmasks are named, as every unreachable host is; the cause is one.
		texts[strings.Replace(err.Error(), "calling localhost:", "calling a server:", 1)] = true
	}
	if len(texts) != 1 {
		t.Errorf("refusals can be told apart: %v", texts)
	}
	if n := victim.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
}

// TestRefusedAfterResolving: a name of somebody else's DNS reaches nothing internal, even at a host:port that was allowed.
func TestRefusedAfterResolving(t *testing.T) {
	t.Parallel()
	victim := listenDead(t, "127.0.0.1:0")
	r := names(t, map[string][]string{
		"loop.test": {"127.0.0.1"}, "meta.test": {"169.254.169.254"}, "zero.test": {"0.0.0.0"}, "wide.test": {"224.0.0.1"},
		"several.test": {"127.0.0.1 127.0.0.2 169.254.169.254"}, "inside.test": {"10.1.2.3"},
	})
	for _, host := range []string{"loop.test", "meta.test", "zero.test", "wide.test", "several.test"} {
		at := fmt.Sprintf("%s:%d", host, port(victim))
		for _, scheme := range []string{"http", "https"} {
			c := withResolver(client(t, Options{PlainLoopback: true, Allow: allow(t, at)}), r)
			_, err := get(t, c, scheme+"://"+at)
			wantError(t, err, ErrRefused, connectors.Invalid)
		}
	}
	_, err := get(t, withResolver(client(t, Options{}), r), "https://inside.test/")
	wantError(t, err, ErrRefused, connectors.Invalid)
	if n := victim.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
}

// TestRebinding: the second answer of a name is judged like the first.
func TestRebinding(t *testing.T) {
	t.Parallel()
	good := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "good") }))
	l, err := net.Listen("tcp", "127.9.0.1:0")
	if err != nil {
		t.Skip("needs 127.9.0.1: ", err)
	}
	good.Listener.Close()
	good.Listener = l
	good.Start()
	t.Cleanup(good.Close)
	victim := listenDead(t, fmt.Sprintf("127.0.0.1:%d", port(l)))
	at := fmt.Sprintf("rebind.test:%d", port(l))
	r := names(t, map[string][]string{"rebind.test": {"127.9.0.1", "127.0.0.1"}})
	c := withResolver(client(t, Options{PlainLoopback: true, Allow: allow(t, at, "127.9.0.0/16")}), r)

	resp, err := get(t, c, "http://"+at)
	if got := text(t, resp, err); got != "good" {
		t.Fatalf("answer %q", got)
	}
	c.CloseIdleConnections()
	_, err = get(t, c, "http://"+at)
	wantError(t, err, ErrRefused, connectors.Invalid)
	if n := victim.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
}

// TestRedirectsAreJudged: every hop is judged like a first request, and five are followed.
func TestRedirectsAreJudged(t *testing.T) {
	t.Parallel()
	victim := listenDead(t, "127.0.0.1:0")
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if n := 0; strings.HasPrefix(r.URL.Path, "/hop/") {
			if _, _ = fmt.Sscanf(r.URL.Path, "/hop/%d", &n); n > 0 {
				http.Redirect(w, r, fmt.Sprintf("/hop/%d", n-1), http.StatusFound)
			}
			return
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	})
	c := plain(t, Options{}, s)
	for _, to := range []string{
		"http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "https://[::ffff:169.254.169.254]/",
		"http://" + victim.Addr().String() + "/", "http://user:pass@" + s.Listener.Addr().String() + "/", "file:///etc/passwd", "gopher://x/",
	} {
		_, err := get(t, c, s.URL+"/?to="+to)
		wantError(t, err, ErrRefused, connectors.Invalid)
	}
	if n := victim.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
	if resp, err := get(t, c, s.URL+"/hop/5"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("five redirects: %v", err)
	}
	_, err := get(t, c, s.URL+"/hop/6")
	wantError(t, err, ErrRedirect, connectors.Invalid)
}

// TestAllowed: what an owner opened is reached.
func TestAllowed(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	p := port(s.Listener)
	for _, c := range []struct{ entry, url string }{
		{fmt.Sprintf("127.0.0.1:%d", p), fmt.Sprintf("http://127.0.0.1:%d/", p)},
		{fmt.Sprintf("localhost:%d", p), fmt.Sprintf("http://localhost:%d/", p)},
		{fmt.Sprintf("LOCALHOST.:%d", p), fmt.Sprintf("http://LocalHost:%d/", p)},
		{fmt.Sprintf("127.0.0.1:%d", p), fmt.Sprintf("http://[::ffff:127.0.0.1]:%d/", p)},
	} {
		resp, err := get(t, client(t, Options{PlainLoopback: true, Allow: allow(t, c.entry)}), c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
		} else if got := text(t, resp, err); !strings.HasSuffix(got, fmt.Sprintf(":%d", p)) {
			t.Errorf("%s: answer %q", c.url, got)
		}
		_, err = get(t, client(t, Options{Allow: allow(t, c.entry)}), c.url)
		wantError(t, err, ErrRefused, connectors.Invalid) // http without PlainLoopback
	}
}

// TestPlainHTTPStaysOnLoopback: an allowed private host is not reached without TLS.
func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	t.Parallel()
	g := guard{plain: true, allow: allow(t, "10.0.0.0/8", "gitea.test:3000")}
	r := names(t, map[string][]string{"gitea.test": {"10.1.2.3"}, "public.test": {"8.8.8.8"}})
	c := withResolver(client(t, Options{PlainLoopback: true, Allow: g.allow}), r)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, address := range []string{"http://10.1.2.3/", "http://gitea.test:3000/", "http://public.test/", "http://8.8.8.8/"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Do(c, req)
		wantError(t, err, ErrRefused, connectors.Invalid)
	}
}

// TestNoEnvironmentProxy: TestMain names a proxy in every variable that net/http reads; the host is none that it would exempt.
func TestNoEnvironmentProxy(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "direct") })
	at := fmt.Sprintf("direct.test:%d", port(s.Listener))
	r := names(t, map[string][]string{"direct.test": {"127.0.0.1"}})
	c := withResolver(client(t, Options{PlainLoopback: true, Allow: allow(t, at, "127.0.0.0/8")}), r)
	resp, err := get(t, c, "http://"+at)
	if got := text(t, resp, err); got != "direct" {
		t.Errorf("answer %q", got)
	}
	if u, err := http.ProxyFromEnvironment(&http.Request{URL: resp.Request.URL}); err != nil || u == nil {
		t.Fatalf("the environment names no proxy for %s: %v", at, err)
	}
	if n := proxied.Load(); n != 0 {
		t.Errorf("%d connections to the proxy, want 0", n)
	}
}
