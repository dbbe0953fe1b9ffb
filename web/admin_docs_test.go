package web_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAdminAddressesAreDocumented: the table of docs/admin-api.md names every address that is served, and no other.
func TestAdminAddressesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:GET|POST|PUT|PATCH|DELETE) /v1/admin/[^`]*)`").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	o := newOAuthRig(t)
	for _, info := range o.web.Table() {
		if !strings.HasPrefix(info.Path, "/v1/admin/") {
			continue
		}
		name := info.Method + " " + info.Path
		if !documented[name] {
			t.Errorf("%s is served and not documented", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is documented and not served", name)
	}
}
