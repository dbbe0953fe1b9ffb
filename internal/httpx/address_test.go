package httpx

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// String names a kind in the messages of tests.
func (k addrKind) String() string {
	return [...]string{"reserved", "public", "private", "loopback", "translated", "forbidden"}[k]
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]addrKind{
		"8.8.8.8": public, "1.1.1.1": public, "172.15.255.255": public, "172.32.0.0": public, "100.63.255.255": public,
		"100.128.0.0": public, "11.0.0.0": public, "192.167.255.255": public, "198.20.0.0": public, "223.255.255.255": public,
		"2606:4700::1": public, "2a00:1450::1": public, "::ffff:8.8.8.8": public, "2001:4860::8888": public,
		"10.0.0.0": private, "10.255.255.255": private, "172.16.0.0": private, "172.31.255.255": private,
		"192.168.255.255": private, "100.64.0.0": private, "100.127.255.255": private, "fc00::1": private, "fdff::1": private,
		"::ffff:10.0.0.1": private,
		"127.0.0.1":       loopback, "127.255.255.255": loopback, "::1": loopback, "::ffff:127.0.0.1": loopback,
		"0.0.0.0": forbidden, "0.1.2.3": forbidden, "169.254.0.1": forbidden, "169.254.169.254": forbidden,
		"169.254.170.2": forbidden, "100.100.100.200": forbidden, "168.63.129.16": forbidden, "192.0.0.192": forbidden,
		"224.0.0.1": forbidden, "239.255.255.255": forbidden, "240.0.0.1": forbidden, "255.255.255.255": forbidden,
		"::": forbidden, "::127.0.0.1": forbidden, "fe80::1": forbidden, "febf::1": forbidden, "ff02::1": forbidden,
		"fd00:ec2::254": forbidden, "fd20:ce::254": forbidden, "2002:7f00:1::": forbidden, "2001:0:1::": forbidden,
		"64:ff9b:1::7f00:1": forbidden, "::ffff:0:7f00:1": forbidden, "::ffff:169.254.169.254": forbidden, "fe80::1%eth0": forbidden,
		"64:ff9b::7f00:1": translated, "64:ff9b::808:808": translated,
		"192.0.2.1": reserved, "198.18.0.1": reserved, "198.51.100.1": reserved, "203.0.113.1": reserved, "192.88.99.1": reserved,
		"192.0.0.1": reserved, "2001:db8::1": reserved, "2001:20::1": reserved, "3fff::1": reserved, "5f00::1": reserved,
		"fec0::1": reserved, "4000::1": reserved, "100::1": reserved,
	} {
		if got := kindOf(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
	if got := kindOf(netip.Addr{}); got != forbidden {
		t.Errorf("no address is %s", got)
	}
}

// TestEveryRowDecides: no row of the tables stands behind a wider one.
func TestEveryRowDecides(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]block{blocks4(), blocks6()} {
		for i, b := range rows {
			p := netip.MustParsePrefix(b.prefix)
			for _, earlier := range rows[:i] {
				if e := netip.MustParsePrefix(earlier.prefix); e.Bits() <= p.Bits() && e.Contains(p.Addr()) {
					t.Errorf("%s stands behind %s", b.prefix, earlier.prefix)
				}
			}
		}
	}
}

// TestMappedIsJudgedAsV4, and a translated address is open only if the address behind it is.
func TestMappedIsJudgedAsV4(t *testing.T) {
	t.Parallel()
	list := allow(t, "64:ff9b::/96")
	rapid.Check(t, func(t *rapid.T) {
		b := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		v4 := netip.AddrFrom4(b)
		mapped := netip.AddrFrom16(v4.As16())
		if kindOf(v4) != kindOf(mapped) {
			t.Fatalf("%s is %s, %s is %s", v4, kindOf(v4), mapped, kindOf(mapped))
		}
		nat := netip.MustParseAddr("64:ff9b::").As16()
		copy(nat[12:], b[:])
		open := list.opens("example.com", 443, netip.AddrFrom16(nat))
		if open != (kindOf(v4) == public) {
			t.Fatalf("NAT64 of %s is open: %t", v4, open)
		}
		if (&AllowList{}).opens("example.com", 443, netip.AddrFrom16(nat)) {
			t.Fatalf("NAT64 of %s is open without a CIDR", v4)
		}
	})
}

func TestAllowListOpens(t *testing.T) {
	t.Parallel()
	list := allow(t, "gitea.lan:3000", "localhost:8081", "[fd12::5]:8443", "198.18.0.5:443", "10.20.0.0/16", "169.0.0.0/8", " 192.168.0.0/16 ")
	for _, c := range []struct {
		host string
		port uint16
		addr string
		want bool
	}{
		{"gitea.lan", 3000, "10.1.2.3", true},
		{"gitea.lan", 3000, "fd00::1", true},
		{"gitea.lan", 3000, "127.0.0.1", false},
		{"gitea.lan", 3000, "169.254.169.254", false},
		{"gitea.lan", 443, "10.1.2.3", false},
		{"other.lan", 3000, "10.1.2.3", false},
		{"localhost", 8081, "127.0.0.1", true},
		{"localhost", 8081, "::1", true},
		{"localhost", 8081, "10.1.2.3", false},
		{"localhost", 8082, "127.0.0.1", false},
		{"fd12::5", 8443, "fd12::5", true},
		{"fd12::5", 8443, "fd12::6", false},
		{"198.18.0.5", 443, "198.18.0.5", true},
		{"198.18.0.6", 443, "198.18.0.6", false},
		{"any.lan", 443, "10.20.255.255", true},
		{"any.lan", 443, "::ffff:10.20.0.1", true},
		{"any.lan", 443, "10.21.0.0", false},
		{"any.lan", 443, "169.254.169.254", false},
		{"any.lan", 443, "192.168.1.1", true},
		{"any.lan", 443, "8.8.8.8", true},
	} {
		if got := list.opens(c.host, c.port, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s:%d at %s is open: %t", c.host, c.port, c.addr, got)
		}
	}
}

func TestParseAllowListRefuses(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		"", "gitea.lan", "gitea.lan:", "gitea.lan:0", "gitea.lan:65536", "gitea.lan:http", "gitea.lan:080", ":443", "http://gitea.lan:80",
		"2130706433:80", "127.1:80", "0x7f.1:80", "[fe80::1%lo]:80", "exämple.lan:80", "*.lan:443", "*:443",
		"169.254.169.254:80", "224.0.0.1:80", "0.0.0.0:80", "[fd00:ec2::254]:80",
		"0.0.0.0/0", "::/0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "169.254.0.0/16", "169.254.169.254/32", "fe80::/10",
		"224.0.0.0/4", "::ffff:10.0.0.0/104", "10.0.0.0/08",
	} {
		if _, err := ParseAllowList([]string{"ok.lan:443", entry}); err == nil {
			t.Errorf("%q was accepted", entry)
		}
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"example.com", "127.1", "0x7f.1", "::1", "[::1]", "EXAMPLE.", "a..b", "fe80::1%lo", "1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, ok := canonicalHost(s)
		if !ok {
			return
		}
		again, ok := canonicalHost(host)
		if !ok || again != host {
			t.Errorf("%q became %q, which becomes %q", s, host, again)
		}
	})
}
