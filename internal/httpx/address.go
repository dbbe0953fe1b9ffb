package httpx

import (
	"encoding/binary"
	"net/netip"
)

// addrKind says who may open an address.
type addrKind int

const (
	// reserved addresses are opened by a CIDR or by themselves only. It is the zero value: an unknown address is no public one.
	reserved addrKind = iota
	// public addresses are open.
	public
	// private ones are opened by a name too: RFC 1918, RFC 6598, RFC 4193.
	private
	// loopback ones are opened by "localhost" too.
	loopback
	// translated ones embed a v4 address that is judged as well: RFC 6052.
	translated
	// forbidden ones are never opened.
	forbidden
)

// block is a row of the tables below.
type block struct {
	prefix string
	kind   addrKind
}

// kindOf judges addr by the first row that contains it. An address without a row is public when it is v4 or lies in
// 2000::/3, the only global unicast space that IANA assigns from.
func kindOf(addr netip.Addr) addrKind {
	if addr.Zone() != "" || !addr.IsValid() {
		return forbidden
	}
	addr = addr.Unmap()
	rows := blocks6()
	if addr.Is4() {
		rows = blocks4()
	}
	for _, b := range rows {
		if netip.MustParsePrefix(b.prefix).Contains(addr) {
			return b.kind
		}
	}
	return public
}

// blocks4 is the IANA IPv4 special-purpose address registry, and the metadata services outside of it.
func blocks4() []block {
	return []block{
		{"100.100.100.200/32", forbidden}, // Alibaba Cloud metadata
		{"168.63.129.16/32", forbidden},   // Azure host agent
		{"192.0.0.192/32", forbidden},     // Oracle Cloud Classic metadata
		{"0.0.0.0/8", forbidden},          // "this network", RFC 791
		{"10.0.0.0/8", private},
		{"100.64.0.0/10", private}, // carrier-grade NAT, RFC 6598
		{"127.0.0.0/8", loopback},
		{"169.254.0.0/16", forbidden}, // link-local, with the metadata services of AWS, Azure, Google, Oracle and others
		{"172.16.0.0/12", private},
		{"192.0.0.0/24", reserved},    // IETF protocol assignments
		{"192.0.2.0/24", reserved},    // documentation
		{"192.31.196.0/24", reserved}, // AS112
		{"192.52.193.0/24", reserved}, // AMT
		{"192.88.99.0/24", reserved},  // 6to4 relays
		{"192.168.0.0/16", private},
		{"192.175.48.0/24", reserved}, // AS112
		{"198.18.0.0/15", reserved},   // benchmarks
		{"198.51.100.0/24", reserved}, // documentation
		{"203.0.113.0/24", reserved},  // documentation
		{"224.0.0.0/4", forbidden},    // multicast
		{"240.0.0.0/4", forbidden},    // future use and broadcast
	}
}

// blocks6 is the IANA IPv6 special-purpose address registry, and the metadata services outside of it.
func blocks6() []block {
	return []block{
		{"fd00:ec2::/32", forbidden},    // AWS metadata, DNS, time, pod identity
		{"fd20:ce::254/128", forbidden}, // Google Cloud metadata
		{"fd00:42::42/128", forbidden},  // Scaleway metadata
		{"::1/128", loopback},           //
		{"::/96", forbidden},            // unspecified and v4-compatible, RFC 4291
		{"64:ff9b::/96", translated},    // NAT64, RFC 6052
		{"64:ff9b:1::/48", forbidden},   // local NAT64: where the v4 address stands is unknown, RFC 8215
		{"2001:db8::/32", reserved},     // documentation
		{"2001::/32", forbidden},        // Teredo, embeds v4
		{"2001::/23", reserved},         // IETF protocol assignments
		{"2002::/16", forbidden},        // 6to4, embeds v4
		{"2620:4f:8000::/48", reserved}, // AS112
		{"3fff::/20", reserved},         // documentation
		{"2000::/3", public},            //
		{"fc00::/7", private},           //
		{"fe80::/10", forbidden},        // link-local
		{"ff00::/8", forbidden},         // multicast
		{"::ffff:0:0:0/96", forbidden},  // SIIT, embeds v4
		{"::/0", reserved},              // not assigned
	}
}

// embedded returns the v4 address in the last four bytes.
func embedded(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// lastOf returns the highest address of p.
func lastOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		n := binary.BigEndian.Uint32(b[:]) | uint32(uint64(1)<<(32-p.Bits())-1) //nolint:gosec // at most 32 bits: the shift is by 0 to 31
		binary.BigEndian.PutUint32(b[:], n)
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom16(b)
}
