package pages

import "testing"

// TestLinksLeadToTheWeb: an address of a profile is a link only where it is one of the web, without a password in it.
func TestLinksLeadToTheWeb(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"javascript:alert(1)", "JavaScript://a.example/%0aalert(1)", "data:text/html,x", "data://a.example/x", "vbscript://a.example/x", "file:///etc/passwd", "ftp://a.example/", "//a.example/", "/path", "", "https:", "https://", "https://user:pass@a.example/", "ht tp://a.example"} {
		if link, ok := external(address); ok || link != "" {
			t.Errorf("%q is the link %q", address, link)
		}
	}
	for _, address := range []string{"https://a.example/x?y=z", "http://127.0.0.1:8090/clients"} {
		if link, ok := external(address); !ok || string(link) != address {
			t.Errorf("%q is the link %q, %t", address, link, ok)
		}
	}
}
