package oauthflow

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Rules are what an instance allows of a provider's addresses, besides what always holds. What a name resolves to is
// checked when a connection is made, by the outbound client.
type Rules struct {
	// LoopbackHTTP allows http to this machine: development and the sandbox.
	LoopbackHTTP bool
	// PrivateAddresses allows IP addresses of private networks and of this machine in URLs; an owner decides it.
	PrivateAddresses bool
}

// checkURL returns the parsed URL of an endpoint, or why it is refused. The errors quote nothing but the scheme.
func (r Rules) checkURL(raw string) (*url.URL, error) {
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] >= 0x7f || raw[i] == '\\' {
			return nil, errors.New("it holds a character that no URL has")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("it is not a full URL")
	case u.User != nil:
		return nil, errors.New("it holds a name or password")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("it has a fragment")
	}
	loopback, err := r.checkHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback && r.LoopbackHTTP {
		return u, nil
	}
	return nil, errors.New("it must start with https://")
}

// checkHost refuses hosts that are never a provider's, and reports whether it is this machine.
func (r Rules) checkHost(host string) (bool, error) {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		if r.LoopbackHTTP || r.PrivateAddresses {
			return true, nil
		}
		return true, errors.New("it is this machine")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return r.checkIP(ip)
	}
	if err := checkName(host); err != nil {
		return false, err
	}
	return false, nil
}

func (r Rules) checkIP(ip netip.Addr) (bool, error) {
	ip = ip.Unmap()
	switch {
	case ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false, errors.New("it is an address that no provider has")
	case ip.IsLoopback():
		if r.LoopbackHTTP || r.PrivateAddresses {
			return true, nil
		}
		return true, errors.New("it is this machine")
	case ip.IsPrivate() && !r.PrivateAddresses:
		return false, errors.New("it is an address of a private network, which an owner has to allow")
	}
	return false, nil
}

// checkName wants a DNS name in lower case of two labels or more. A last label that is a number is refused: many
// resolvers read 0x7f.1 or 2130706433 as an IP address.
func checkName(host string) error {
	labels := strings.Split(host, ".")
	if len(host) > 253 || len(labels) < 2 {
		return errors.New("its host is not a full name, such as id.example.com")
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return errors.New("its host is not a name")
		}
		for i := range len(l) {
			if c := l[i]; c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return errors.New("its host is not a name in lower case and ASCII")
			}
		}
	}
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return errors.New("its host ends in a number")
	}
	return nil
}

// checkHostPattern accepts a host name, or *. and a name of two labels or more.
func checkHostPattern(pattern string) error {
	if err := checkName(strings.TrimPrefix(pattern, "*.")); err != nil {
		return fmt.Errorf("pattern %.80q: %w", pattern, err)
	}
	return nil
}

// matchHost reports whether host is the pattern's, or ends in what follows its *.
func matchHost(pattern, host string) bool {
	suffix, wild := strings.CutPrefix(pattern, "*")
	if !wild {
		return host == pattern
	}
	return strings.HasSuffix(host, suffix) && checkName(host) == nil // a name has no empty label before the suffix
}

// answerHost returns the host that a field of a token answer names, where the patterns allow it: a bare host, or an
// https URL without a port, a name or a password.
func answerHost(value string, patterns []string) (string, bool) {
	host := value
	if strings.Contains(value, "/") {
		u, err := Rules{}.checkURL(value)
		if err != nil || u.Port() != "" {
			return "", false
		}
		host = u.Hostname()
	}
	for _, p := range patterns {
		if matchHost(p, host) {
			return host, true
		}
	}
	return "", false
}

// hostOf returns the host of a URL with its port, or "".
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
