package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/internal/settings"
)

// command is one command of the program with its flags.
type command struct {
	words []string
	flags []string
}

// commands returns every command of commands.md, which is generated from the
// program and compared with it.
func commands(t *testing.T) []command {
	t.Helper()
	global := []string{"--help", "--json", "--verbose", "-v", "-h"}
	for _, d := range settings.Table() {
		if !d.Listener {
			global = append(global, "--"+d.Flag, "--"+settings.FileFlag(d))
		}
	}
	list := []command{{words: []string{"version"}, flags: global}, {words: []string{"completion"}, flags: global}, {words: []string{"help"}, flags: global}}
	flag := regexp.MustCompile("^\\| (`-.*?) \\|")
	for line := range strings.Lines(read(t, "docs/commands.md")) {
		if name, ok := strings.CutPrefix(line, "## tributary "); ok {
			list = append(list, command{words: strings.Fields(name), flags: slices.Clone(global)})
			continue
		}
		if m := flag.FindStringSubmatch(line); m != nil {
			last := &list[len(list)-1]
			last.flags = append(last.flags, strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune("` ,", r) })...)
		}
	}
	if len(list) < 20 {
		t.Fatalf("only %d commands were found in commands.md", len(list))
	}
	return list
}

// find returns the command that args call. A group of commands, named without
// one of them, is a command without flags of its own.
func find(list []command, args []string) (command, bool) {
	for n := min(len(args), 3); n > 0; n-- {
		for _, c := range list {
			if slices.Equal(c.words, args[:n]) {
				return c, true
			}
		}
	}
	if len(args) == 0 || len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		return command{}, false
	}
	i := slices.IndexFunc(list, func(c command) bool { return len(c.words) > 1 && c.words[0] == args[0] })
	if i < 0 {
		return command{}, false
	}
	return command{words: args[:1], flags: []string{"--help"}}, true
}

// calls returns the arguments of each call of the program that the page shows:
// in code blocks and in code inside a line, at the place of a command.
func (p page) calls() []string {
	call := regexp.MustCompile(`(?:^|&& |; |\| )(?:sudo )?(?:[A-Z_]+=\S+ )*(?:bin/)?tributary +([a-z][^;|&)]*)`)
	comment := regexp.MustCompile(`\s#\s.*$`)
	substitution := regexp.MustCompile(`\$\([^)]*\)`)
	var code []string
	for _, m := range fence().FindAllStringSubmatch(p.text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1], "\\\n", " ")) {
			code = append(code, comment.ReplaceAllString(strings.TrimSpace(line), ""))
		}
	}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(p.prose(), -1) {
		code = append(code, m[1])
	}
	var out []string
	for _, line := range code {
		for _, m := range call.FindAllStringSubmatch(substitution.ReplaceAllString(line, "TEXT"), -1) {
			out = append(out, m[1])
		}
	}
	return out
}

func TestCommandsExistWithTheirFlags(t *testing.T) {
	t.Parallel()
	list := commands(t)
	quoted := regexp.MustCompile(`"[^"]*"|'[^']*'`)
	count := 0
	for _, p := range pages(t) {
		for _, call := range p.calls() {
			count++
			args := strings.Fields(quoted.ReplaceAllString(call, "TEXT"))
			c, ok := find(list, args)
			if !ok {
				t.Errorf("%s: there is no command: tributary %s", p.path, call)
				continue
			}
			for _, arg := range args[len(c.words):] {
				if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "-") && name != "-" && !slices.Contains(c.flags, name) {
					t.Errorf("%s: %s takes no %s: tributary %s", p.path, strings.Join(c.words, " "), name, call)
				}
			}
		}
	}
	if count < 60 {
		t.Errorf("only %d calls were found", count)
	}
}

// The check must find what is wrong.
func TestWrongCommandsAreFound(t *testing.T) {
	t.Parallel()
	list := commands(t)
	for _, wrong := range []string{"synk docs", "connections remove docs", "profiles"} {
		c, ok := find(list, strings.Fields(wrong))
		if ok && wrong != "profiles" {
			t.Errorf("%q was taken for %v", wrong, c.words)
		}
		if !ok && wrong == "profiles" {
			t.Error("a group alone was not found")
		}
	}
	p := page{text: "Call `tributary sync docs --wait`, or:\n```sh\nTRIBUTARY_ADDR=x bin/tributary up \\\n  --demo   # with the demo\nps && tributary doctor\n```\n"}
	got := p.calls()
	want := []string{"up    --demo", "doctor", "sync docs --wait"}
	if !slices.EqualFunc(got, want, func(a, b string) bool { return strings.TrimSpace(a) == b }) {
		t.Errorf("calls = %q, want %q", got, want)
	}
	c, ok := find(list, []string{"sync", "docs", "--wait"})
	if !ok || !slices.Contains(c.flags, "--wait") || slices.Contains(c.flags, "--demo") {
		t.Errorf("sync was found as %v", c)
	}
}
