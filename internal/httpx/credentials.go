package httpx

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// addCredentialHost reads "host" or "host:port".
func (t *transport) addCredentialHost(entry string) error {
	u := &url.URL{Scheme: "https", Host: entry}
	if strings.Contains(entry, ":") {
		if _, _, err := net.SplitHostPort(entry); err != nil {
			return errors.New("give host or host:port, an IPv6 address in brackets with its port")
		}
	}
	to, ok := targetOf(u)
	if !ok {
		return errors.New("give host or host:port, without scheme and path, names in ASCII (punycode)")
	}
	t.hosts[endpoint(to.host, to.port)] = true
	if u.Port() == "" && t.guard.plain {
		t.hosts[endpoint(to.host, 80)] = true
	}
	return nil
}

func (t *transport) trusted(to target) bool { return t.hosts[endpoint(to.host, to.port)] }

// trail is what led to a request.
type trail struct {
	hops    int
	crossed bool // an earlier request went to another scheme, host or port
}

// trailOf walks the redirects that http.Client recorded.
func trailOf(req *http.Request, to target) trail {
	var tr trail
	for r := req.Response; r != nil && r.Request != nil && tr.hops <= maxRedirects; r = r.Request.Response {
		tr.hops++
		if from, ok := targetOf(r.Request.URL); !ok || from != to {
			tr.crossed = true
		}
	}
	return tr
}

// strip removes from req, which is our own copy, what its target must not see.
func (t *transport) strip(req *http.Request, to target, tr trail) {
	if tr.hops > 0 {
		req.Header.Del("Referer") // the earlier URL's query can hold a secret
	}
	if t.trusted(to) && !tr.crossed {
		return
	}
	for _, h := range t.headers {
		req.Header.Del(h)
	}
}
