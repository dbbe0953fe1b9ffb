package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestPrintMissing: what was not granted is named, and what has to be removed first where granting again alone changes
// nothing.
func TestPrintMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		missing     []string
		removeFirst string
		want, not   string
	}{
		{nil, "https://git.example.com/user/settings/applications", "", "first"},
		{[]string{"read:issue"}, "", "Permissions are missing: read:issue", "first"},
		{[]string{"read:issue"}, "https://git.example.com/user/settings/applications", "at https://git.example.com/user/settings/applications first, then grant again", "%!"},
	} {
		var out bytes.Buffer
		a := &app{stdout: &out}
		a.printMissing(c.missing, c.removeFirst)
		if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), c.not) || (out.Len() > 0) != (len(c.missing) > 0) {
			t.Errorf("%v, %q: %q", c.missing, c.removeFirst, out.String())
		}
	}
}
