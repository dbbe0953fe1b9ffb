package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandHasItsAddress: what the command line does, a program can do over HTTP, or the documentation says why not.
func TestEveryCommandHasItsAddress(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(repository + "/docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z -]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("tributary %s stands in the table twice", m[1])
		}
		rows[m[1]] = strings.TrimSpace(m[2])
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if !sub.IsAvailableCommand() || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.HasSubCommands() {
				walk(sub)
				continue
			}
			name := strings.TrimPrefix(sub.CommandPath(), "tributary ")
			to, ok := rows[name]
			delete(rows, name)
			if reason, none := strings.CutPrefix(to, "none: "); !ok || !strings.HasPrefix(to, "`") && (!none || len(reason) < 10) {
				t.Errorf("tributary %s has neither an address of the admin API nor a reason in docs/admin-api.md: %q", name, to)
			}
		}
	}
	walk(newRoot(&app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}))
}
