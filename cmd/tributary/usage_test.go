package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runHere executes a command line that needs no database.
func runHere(args []string, env ...string) result {
	var out, errs bytes.Buffer
	code := run(context.Background(), args, append([]string{"HOME=/nonexistent"}, env...), strings.NewReader(""), &out, &errs)
	return result{code, out.String(), errs.String()}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
		env  []string
		want []string
	}{
		{"unknown command names the nearest", []string{"serach"}, nil, []string{`"serach"`, `"tributary search"`}},
		{"unknown sub-command names the nearest", []string{"readers", "creat"}, nil, []string{`"tributary readers create"`}},
		{"far command names the help", []string{"xyzzyplugh"}, nil, []string{"--help"}},
		{"unknown flag names the nearest", []string{"search", "x", "--az", "y"}, nil, []string{"--az", "--as"}},
		{"missing argument", []string{"search"}, nil, []string{"QUESTION is missing"}},
		{"too many arguments", []string{"version", "now"}, nil, []string{`"now"`, "too many"}},
		{"bad flag value", []string{"runs", "list", "--limit", "many"}, nil, []string{"--limit"}},
		{"unknown variable", []string{"connections", "list"}, []string{"TRIBUTARY_DATA_DRI=/x"}, []string{"TRIBUTARY_DATA_DRI", "TRIBUTARY_DATA_DIR"}},
		{"bad setting", []string{"serve"}, []string{"TRIBUTARY_DATABASE_URL=postgres://u:hunter2@h/d", "TRIBUTARY_ADDR=0.0.0.0:1"}, []string{"TRIBUTARY_ADDR"}},
		{"serve needs a database", []string{"serve"}, nil, []string{"TRIBUTARY_DATABASE_URL", "tributary up"}},
		{"worker needs a database", []string{"worker"}, nil, []string{"TRIBUTARY_DATABASE_URL"}},
		{"migrate URL alone", []string{"up"}, []string{"TRIBUTARY_MIGRATE_DATABASE_URL=postgres://u:hunter2@h/d"}, []string{"TRIBUTARY_DATABASE_URL", "role app"}},
		{"connect without a name", []string{"connect", "folder", "--set", "path=/"}, nil, []string{"--name"}},
		{"connect without a required setting", []string{"connect", "folder", "--name", "x"}, nil, []string{"path", "--set path="}},
		{"connect with an unknown setting", []string{"connect", "folder", "--name", "x", "--set", "paht=/"}, nil, []string{"paht", "did you mean path"}},
		{"connect with a setting twice", []string{"connect", "folder", "--name", "x", "--set", "path=/", "--set", "path=/tmp"}, nil, []string{"path", "twice"}},
		{"connect with a bad choice", []string{"connect", "folder", "--name", "x", "--set", "path=/", "--set", "permissions=open"}, nil, []string{"permissions", "posix"}},
		{"connect without an equals sign", []string{"connect", "folder", "--name", "x", "--set", "path"}, nil, []string{"name=value"}},
		{"connect to what is not there", []string{"connect", "folder", "--name", "x", "--set", "path=/no/such/place"}, nil, []string{"/no/such/place"}},
		{"connect to a file", []string{"connect", "folder", "--name", "x", "--set", "path=/etc/passwd"}, nil, []string{"/etc/passwd"}},
		{"approving deletions of permissions", []string{"sync", "x", "--permissions", "--approve-deletions"}, nil, []string{"--approve-deletions"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := runHere(tc.args, tc.env...)
			if r.code != exitUsage {
				t.Errorf("exit code %d, want %d", r.code, exitUsage)
			}
			if strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "tributary: ") || r.stdout != "" {
				t.Errorf("the error is not one line on standard error: %q, and %q", r.stderr, r.stdout)
			}
			for _, w := range tc.want {
				if !strings.Contains(r.stderr, w) {
					t.Errorf("%q does not say %s", r.stderr, w)
				}
			}
			if strings.Contains(r.stderr, "hunter2") {
				t.Error("the message holds a password")
			}
		})
	}
}

func TestUnreachableDatabase(t *testing.T) {
	t.Parallel()
	r := runHere([]string{"connections", "list"}, "TRIBUTARY_DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d")
	if r.code != exitDatabase || strings.Contains(r.stderr, "hunter2") || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "TRIBUTARY_DATABASE_URL") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || (c.HasParent() && c.Example == "") {
			t.Errorf("%s has no description or no example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short description ends with a full stop", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(a))
	for _, verb := range []string{"up", "serve", "worker", "migrate", "connect", "sync", "search", "doctor", "version", "completion"} {
		if r := runHere([]string{verb, "--help"}); r.code != exitOK || !strings.Contains(r.stdout, "Usage:") {
			t.Errorf("tributary %s --help: exit code %d", verb, r.code)
		}
	}
	if r := runHere([]string{"completion", "bash"}); r.code != exitOK || !strings.Contains(r.stdout, "__start_tributary") {
		t.Errorf("completion: exit code %d", r.code)
	}
}

func TestGroupWithoutCommand(t *testing.T) {
	t.Parallel()
	if r := runHere(nil); r.code != exitOK {
		t.Errorf("tributary alone: exit code %d", r.code)
	}
	if r := runHere([]string{"readers"}); r.code != exitUsage || !strings.Contains(r.stdout, "create") {
		t.Errorf("tributary readers: exit code %d", r.code)
	}
}

func TestConnectHelpListsSettings(t *testing.T) {
	t.Parallel()
	r := runHere([]string{"connect", "folder", "--help"})
	for _, want := range []string{"path", "permissions", "readers", "max_file_size", "--include", "--every"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the help does not tell of %s", want)
		}
	}
}

func TestParseSpan(t *testing.T) {
	t.Parallel()
	for text, hours := range map[string]float64{"90d": 90 * 24, "12h": 12, "30m": 0.5} {
		if d, err := parseSpan(text); err != nil || d.Hours() != hours {
			t.Errorf("parseSpan(%q) = %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "0d", "0h", "-3h", "1.5d", "99999999999d", "90"} {
		if d, err := parseSpan(text); err == nil {
			t.Errorf("parseSpan(%q) = %v", text, d)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got := printable("a\x1b[31mb\nc\u202ed\x00"); got != "a[31mb cd" {
		t.Errorf("got %q", got)
	}
}

func TestShellQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"plain-1.0/x": "plain-1.0/x", "two words": "'two words'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
