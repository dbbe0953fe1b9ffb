package httpx

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// connectTimeout bounds one connection and one TLS handshake, which outlive a request that no longer waits for them.
const connectTimeout = 10 * time.Second

// guard decides where a socket may go.
type guard struct {
	allow    AllowList
	plain    bool          // http to loopback
	resolver *net.Resolver // nil: the machine's
}

// target is where a URL points, in canonical form.
type target struct {
	scheme, host string
	port         uint16
}

// admit checks what a URL shows before anything is resolved. Every reason gives the same refusal.
func (g *guard) admit(u *url.URL) (target, error) {
	t, ok := targetOf(u)
	switch {
	case !ok || u.User != nil:
		return t, ErrRefused
	case t.scheme == "http" && !g.plain, t.scheme != "http" && t.scheme != "https":
		return t, ErrRefused
	case t.port != 80 && t.port != 443 && !g.allow.opensPort(t.host, t.port):
		return t, ErrRefused
	}
	if addr, err := netip.ParseAddr(t.host); err == nil && !g.opens(t, addr) {
		return t, ErrRefused
	}
	return t, nil
}

// targetOf reads scheme, host and port of a URL.
func targetOf(u *url.URL) (target, bool) {
	if u == nil || u.Opaque != "" {
		return target{}, false
	}
	t := target{scheme: strings.ToLower(u.Scheme), port: 443}
	var ok bool
	if t.host, ok = canonicalHost(u.Hostname()); !ok {
		return t, false
	}
	if t.scheme == "http" {
		t.port = 80
	}
	if port := u.Port(); port != "" {
		t.port, ok = parsePort(port)
	}
	return t, ok
}

// opens reports whether a socket for t may connect to addr.
func (g *guard) opens(t target, addr netip.Addr) bool {
	if t.scheme == "http" && !addr.Unmap().IsLoopback() {
		return false
	}
	return g.allow.opens(t.host, t.port, addr)
}

// dialer returns the dial function for one scheme. SECURITY: the address is judged in the socket's control function, after
// resolving and before connecting, so that no second look-up lies between the check and the connection.
func (g *guard) dialer(scheme string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		t, ok := targetOf(&url.URL{Scheme: scheme, Host: addr})
		if !ok {
			return nil, ErrRefused
		}
		d := net.Dialer{
			Timeout:  connectTimeout,
			Resolver: g.resolver,
			ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
				to, err := netip.ParseAddrPort(address)
				if err != nil || !strings.HasPrefix(network, "tcp") || to.Port() != t.port || !g.opens(t, to.Addr()) {
					return ErrRefused
				}
				return nil
			},
		}
		return d.DialContext(ctx, network, addr)
	}
}
