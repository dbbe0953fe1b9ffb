package web_test

import (
	"slices"
	"strings"
	"testing"

	"tributary/internal/visibility"
)

// TestEveryContentRouteIsCompared: an address that a key asks is either one that
// the comparison with the oracle asks, or gives out no content.
func TestEveryContentRouteIsCompared(t *testing.T) {
	t.Parallel()
	var got []string
	for _, info := range newRig(t, false, nil).web.Table() {
		if info.Access == "key" {
			got = append(got, info.Method+" "+info.Path)
		}
	}
	want := visibility.Routes()
	// What pushes documents reads none.
	for _, r := range got {
		if !slices.Contains(want, r) && !strings.Contains(r, " /v1/push/") {
			t.Errorf("%s is not compared with the oracle: add it to the routes of internal/visibility and ask it there", r)
		}
	}
	for _, r := range want {
		if !slices.Contains(got, r) {
			t.Errorf("%s is compared with the oracle and is not served", r)
		}
	}
}
