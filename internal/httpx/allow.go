package httpx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// AllowList is what an owner opened beyond the public internet. The zero value opens nothing. It is not changed after
// [ParseAllowList] and may be shared.
type AllowList struct {
	endpoints map[string]bool // "host:port", host canonical
	prefixes  []netip.Prefix
}

// ParseAllowList reads entries of two forms.
//
// "host:port" opens that port at that host, and the private addresses (RFC 1918, RFC 6598, RFC 4193) that the name resolves
// to. "localhost:port" opens loopback addresses, and a literal address that address alone.
//
// A CIDR such as 10.20.0.0/16 opens its addresses at ports 80 and 443; another port needs a host:port beside it.
//
// Link-local, multicast, unspecified and cloud metadata addresses cannot be opened.
func ParseAllowList(entries []string) (AllowList, error) {
	list := AllowList{endpoints: map[string]bool{}}
	for _, entry := range entries {
		if err := list.add(strings.TrimSpace(entry)); err != nil {
			return AllowList{}, fmt.Errorf("reading allow list entry %.80q: %w", entry, err)
		}
	}
	return list, nil
}

func (l *AllowList) add(entry string) error {
	if strings.Contains(entry, "/") {
		return l.addPrefix(entry)
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		return errors.New("give host:port, such as gitea.example.lan:3000, or a CIDR, such as 10.20.0.0/16")
	}
	host, ok := canonicalHost(host)
	if !ok {
		return errors.New("the host is neither a name nor an address; write names in ASCII (punycode) and addresses in full")
	}
	if addr, err := netip.ParseAddr(host); err == nil && kindOf(addr) == forbidden {
		return errForbidden
	}
	n, ok := parsePort(port)
	if !ok {
		return errors.New("the port must be a number between 1 and 65535")
	}
	l.endpoints[endpoint(host, n)] = true
	return nil
}

var errForbidden = errors.New("link-local, multicast, unspecified and cloud metadata addresses cannot be allowed")

func (l *AllowList) addPrefix(entry string) error {
	p, err := netip.ParsePrefix(entry)
	switch {
	case err != nil || p.Addr().Is4In6():
		return errors.New("give the network as address/bits, such as 10.20.0.0/16 or fd12:3456::/32")
	case p.Bits() == 0:
		return errors.New("the network covers every address; name the one that is needed")
	case p != p.Masked():
		return fmt.Errorf("the network has bits set behind its length; write %s", p.Masked())
	case kindOf(p.Addr()) == forbidden && kindOf(lastOf(p)) == forbidden:
		return errForbidden
	}
	l.prefixes = append(l.prefixes, p)
	return nil
}

// opensPort reports whether the owner named exactly this host and port.
func (l *AllowList) opensPort(host string, port uint16) bool {
	return l.endpoints[endpoint(host, port)]
}

// opens reports whether a socket for host and port may connect to addr. Ports are judged by [guard.admit].
func (l *AllowList) opens(host string, port uint16, addr netip.Addr) bool {
	addr = addr.Unmap()
	switch kind := kindOf(addr); kind {
	case public:
		return true
	case forbidden:
		return false
	case translated:
		// RFC 6052: what counts is the address behind the translator.
		return l.inPrefix(addr) && l.opens(host, port, embedded(addr))
	case private, loopback, reserved:
		return l.inPrefix(addr) || l.opensPort(host, port) && named(host, addr, kind)
	}
	return false
}

func (l *AllowList) inPrefix(addr netip.Addr) bool {
	for _, p := range l.prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// named reports whether naming host opens addr, which is not public. SECURITY: a name in somebody else's DNS opens no loopback.
func named(host string, addr netip.Addr, kind addrKind) bool {
	if literal, err := netip.ParseAddr(host); err == nil {
		return literal == addr
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return kind == loopback
	}
	return kind == private
}

func endpoint(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0 && s[0] != '0'
}

// canonicalHost returns host in lower case without its final dot, and addresses in their shortest form, v4-mapped ones as
// v4. It refuses zones, names that are not ASCII, and whatever ends in a number without being an address in the usual form
// (decimal, octal, hexadecimal and shortened ones, which some resolvers take for addresses).
func canonicalHost(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String(), addr.Zone() == ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > 253 {
		return "", false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" {
		return "", false
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok && strings.Trim(hex, "0123456789abcdef") == "" {
		return "", false
	}
	return host, true
}
