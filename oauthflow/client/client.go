package client

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tributary/internal/httpx"
	"tributary/oauthflow"
)

// Config says whose token a client carries, and where to.
type Config struct {
	// Grant is whose tokens are used, as Tokens gives them out.
	Grant  uuid.UUID
	Tokens oauthflow.Tokens
	// Gate bounds the calls under GateKey, "api:{registration}"; nil bounds nothing.
	Gate    oauthflow.Gate
	GateKey string
	// Hosts are the connector's: the only ones that get the token, as "host" or "host:port" (httpx.Options.CredentialHosts,
	// which it replaces). Other hosts can be called, without it and without the gate.
	Hosts []string
	// Options are those of the client underneath.
	Options httpx.Options
	// Retry says which requests may be repeated after a 401, and which headers say when to come back.
	Retry httpx.Retry
	// Reasons are values of a member "reason" in the JSON of a 403 that mean a limit (connectors.Pace).
	Reasons []string
	// ShortWait is the longest that a call waits for the gate at a time, 2 s; LongWait bounds all its waits together, 20 s.
	ShortWait, LongWait time.Duration
	// JudgedFor is how long a token is not renewed because of a 401 that the provider stood by after another: 1 min.
	JudgedFor time.Duration
}

// New returns a client that acts for the grant. Its errors are *connectors.Error inside a *url.Error, as httpx.Do takes
// them out. CloseIdleConnections releases it.
func New(c Config) (*http.Client, error) {
	switch {
	case c.Tokens == nil || c.Grant == uuid.Nil:
		return nil, errors.New("creating authorised client: a grant and its tokens are needed")
	case len(c.Hosts) == 0:
		return nil, errors.New("creating authorised client: the hosts that may get the token are missing")
	case c.Gate != nil && c.GateKey == "":
		return nil, errors.New("creating authorised client: the gate's key is missing")
	}
	t := &transport{c: c, hosts: map[string]bool{}}
	for _, h := range c.Hosts {
		key, err := hostKey(h)
		if err != nil {
			return nil, fmt.Errorf("creating authorised client: host %.80q: %w", h, err)
		}
		t.hosts[key] = true
		if !strings.HasSuffix(key, ":443") || strings.Contains(h, ":") || !c.Options.PlainLoopback {
			continue
		}
		t.hosts[strings.TrimSuffix(key, "443")+"80"] = true
	}
	if t.c.ShortWait <= 0 {
		t.c.ShortWait = 2 * time.Second
	}
	if t.c.LongWait <= 0 {
		t.c.LongWait = 20 * time.Second
	}
	if t.c.JudgedFor <= 0 {
		t.c.JudgedFor = time.Minute
	}
	c.Options.CredentialHosts = c.Hosts
	inner, err := httpx.New(c.Options)
	if err != nil {
		return nil, fmt.Errorf("creating authorised client: %w", err)
	}
	t.inner = inner.Transport
	inner.Transport = t
	return inner, nil
}

// Usage returns the grant of a client that New made and how many requests went out with its token.
func Usage(c *http.Client) (grant uuid.UUID, requests int64, ok bool) {
	if c == nil {
		return uuid.Nil, 0, false
	}
	t, ok := c.Transport.(*transport)
	if !ok {
		return uuid.Nil, 0, false
	}
	return t.c.Grant, t.uses.Load(), true
}

// transport attaches tokens. It may be used concurrently.
type transport struct {
	c     Config
	inner http.RoundTripper
	hosts map[string]bool // "host:port"
	uses  atomic.Int64

	judged atomic.Pointer[judgement]
}

// CloseIdleConnections closes what the client underneath keeps.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.inner.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// hostKey returns "host:port" of an entry of Config.Hosts.
func hostKey(entry string) (string, error) {
	host, port := entry, "443"
	if strings.Contains(entry, ":") {
		var err error
		if host, port, err = net.SplitHostPort(entry); err != nil {
			return "", errors.New("give host or host:port, an IPv6 address in brackets with its port")
		}
	}
	if host == "" || port == "" || strings.ContainsAny(host, "/@*?# ") {
		return "", errors.New("give host or host:port, without scheme and path")
	}
	return net.JoinHostPort(canonical(host), port), nil
}

// urlKey returns scheme, host and port of a URL in the form of hostKey.
func urlKey(u *url.URL) (scheme, key string) {
	if u == nil {
		return "", ""
	}
	scheme = strings.ToLower(u.Scheme)
	port := u.Port()
	if port == "" {
		port = "443"
		if scheme == "http" {
			port = "80"
		}
	}
	return scheme, net.JoinHostPort(canonical(u.Hostname()), port)
}

func canonical(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// authorised reports whether req may carry the token: it goes to a host of the list, and every redirect that led to it
// came from that same place. SECURITY: another host on the way could have chosen where it goes. The client underneath
// holds the same rule by itself.
func (t *transport) authorised(req *http.Request) bool {
	scheme, key := urlKey(req.URL)
	if !t.hosts[key] || scheme != "https" && (scheme != "http" || !t.c.Options.PlainLoopback) {
		return false
	}
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		if s, k := urlKey(r.Request.URL); s != scheme || k != key {
			return false
		}
	}
	return true
}
