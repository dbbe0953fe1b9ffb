package docs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"tributary/connectors/all"
	"tributary/internal/settings"
	"tributary/internal/sourcedocs"
	"tributary/migrations"
	"tributary/oauthflow"
)

const repository = ".."

// page is one Markdown file.
type page struct {
	path string // relative to the repository
	text string
}

// pages returns every page of the documentation.
func pages(t *testing.T) []page {
	t.Helper()
	var list []page
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/sources/*.md"} {
		paths, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			rel, err := filepath.Rel(repository, p)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, page{path: rel, text: read(t, rel)})
		}
	}
	if len(list) < 10 {
		t.Fatalf("only %d pages were found", len(list))
	}
	return list
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fence matches a code block and its content.
func fence() *regexp.Regexp { return regexp.MustCompile("(?ms)^```[^\n]*\n(.*?)^```$") }

// prose returns the page without its code blocks.
func (p page) prose() string { return fence().ReplaceAllString(p.text, "") }

// anchors returns what the page's headings are called in links.
func (p page) anchors() []string {
	var list []string
	for line := range strings.Lines(p.prose()) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, strings.TrimSpace(title)))
	}
	return list
}

func TestRelativeLinksResolve(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	all := pages(t)
	count := 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose(), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			count++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := p.path
			if file != "" {
				target = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join(repository, target)); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: link %s: there is no %s", p.path, m[1], target)
				continue
			}
			if anchor == "" {
				continue
			}
			i := slices.IndexFunc(all, func(q page) bool { return q.path == target })
			if i < 0 || !slices.Contains(all[i].anchors(), anchor) {
				t.Errorf("%s: link %s: %s has no such heading", p.path, m[1], target)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d links were found", count)
	}
}

func TestVariablesAreSettings(t *testing.T) {
	t.Parallel()
	known := []string{
		settings.Prefix,
		"TRIBUTARY_ADR", // the misspelling whose message is shown
	}
	for _, d := range settings.Table() {
		known = append(known, d.Variable())
		if d.Secret {
			known = append(known, d.Variable()+settings.FileSuffix)
		}
	}
	for _, m := range regexp.MustCompile(`\$\{(TRIBUTARY_[A-Z_]+):-`).FindAllStringSubmatch(read(t, "docker-compose.yml"), -1) {
		known = append(known, m[1])
	}
	variable := regexp.MustCompile(`TRIBUTARY_[A-Z_]*`)
	for _, p := range pages(t) {
		for _, name := range variable.FindAllString(p.text, -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: %s is no setting", p.path, name)
			}
		}
	}
}

// section returns the text of the page below a heading of level two.
func section(t *testing.T, p, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, p), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", p, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

func wantIn(t *testing.T, where, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("SECURITY.md, %s: %s is missing", where, w)
		}
	}
}

func TestSecurityNamesEveryListener(t *testing.T) {
	t.Parallel()
	const heading = "Listeners"
	text := section(t, "SECURITY.md", heading)
	count := 0
	for _, d := range settings.Table() {
		if strings.HasPrefix(d.Form, "host:port") {
			wantIn(t, heading, text, "`"+d.Variable()+"`", "`"+strings.Trim(d.Default, "`")+"`")
			count++
		}
	}
	if count < 2 {
		t.Errorf("only %d listeners were found among the settings", count)
	}
	pages := map[string]bool{}
	for _, name := range webFiles(t) {
		for _, m := range regexp.MustCompile(`path: "(/[^/:"]*)`).FindAllStringSubmatch(read(t, name), -1) {
			pages[m[1]] = true
		}
	}
	if len(pages) < 8 {
		t.Errorf("only %d addresses were found in web", len(pages))
	}
	for page := range pages {
		if page != "/" && page != "/style.css" && page != "/app.js" {
			wantIn(t, heading, text, "`"+page+"`")
		}
	}
}

// webFiles lists the sources of the web server, where every address stands.
func webFiles(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../web/*.go")
	if err != nil || len(found) == 0 {
		t.Fatalf("listing web: %v, %v", found, err)
	}
	var names []string
	for _, f := range found {
		if !strings.HasSuffix(f, "_test.go") {
			names = append(names, "web/"+filepath.Base(f))
		}
	}
	return names
}

func TestSecurityNamesEverySecret(t *testing.T) {
	t.Parallel()
	const heading = "Stored secrets"
	text := section(t, "SECURITY.md", heading)
	for _, d := range settings.Table() {
		if d.Secret {
			wantIn(t, heading, text, "`"+d.Variable()+settings.FileSuffix+"`")
		}
		if strings.HasSuffix(d.Name, "_KEY") || strings.HasSuffix(d.Name, "_KEY_FILE") {
			wantIn(t, heading, text, "`"+d.Variable()+"`")
		}
	}
	column := regexp.MustCompile(`(?m)^\s+(\w*(?:secret|password|token|key_file|sealed)\w*)\s+(?:bytea|text)`)
	named := map[string]string{
		"secret_hash": "`api_key`", "api_key_file": "the database has the path", "password_hash": "`account`", "token_hash": "`setup_token`",
		"secret_ct": "`credential`",
	}
	for _, m := range column.FindAllStringSubmatch(schema(t), -1) {
		phrase, ok := named[m[1]]
		if !ok && m[1] != "tokens" {
			t.Errorf("column %s may hold a secret: name it in SECURITY.md, %s, and here", m[1], heading)
		}
		wantIn(t, heading, text, phrase)
	}
	wantIn(t, heading, text, "superuser.password")
}

// schema returns the numbered migrations.
func schema(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("listing migrations: %v, %v", names, err)
	}
	var b strings.Builder
	for _, n := range names {
		text, err := fs.ReadFile(migrations.FS, n)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

func TestSecurityNamesEveryConnection(t *testing.T) {
	t.Parallel()
	const heading = "Outbound connections"
	text := section(t, "SECURITY.md", heading)
	for _, c := range all.New(all.Config{}).All() {
		wantIn(t, heading, text, "`"+c.Spec().Source+"`")
	}
	kinds := regexp.MustCompile(`(?s)CREATE TABLE embedding_profile \(.*?kind IN \(([^)]*)\)`).FindStringSubmatch(schema(t))
	if kinds == nil {
		t.Fatal("the kinds of profiles were not found in the migrations")
	}
	for kind := range strings.SplitSeq(kinds[1], ",") {
		wantIn(t, heading, text, "`"+strings.Trim(kind, " '")+"`")
	}
	// Where the code reaches out or runs another program, and what the page says of it.
	named := map[string]string{
		"internal/embed/openai.go":             "profile of kind `openai`",
		"internal/httpx/dial.go":               "`internal/httpx`",
		"internal/httpx/options.go":            "`internal/httpx`",
		"cmd/tributary/cmd_doctor.go":          "`tributary doctor`",
		"cmd/tributary/demo.go":                "`go env GOROOT`",
		"cmd/tributary/cmd_connect_oauth.go":   "`tributary connect`",
		"cmd/tributary/push_client.go":         "`tributary push`",
		"internal/demo/player/browser.go":      "`tributary up --demo`",
		"connectors/folder/accounts_system.go": "`getent`",
		"internal/mutants/run.go":              "`make test-mutants`",
	}
	for _, path := range reachingOut(t) {
		phrase, ok := named[path]
		if !ok {
			t.Errorf("%s reaches out or runs a program: name it in SECURITY.md, %s, and here", path, heading)
		}
		wantIn(t, heading, text, phrase)
	}
}

// reachingOut lists the files of the program that make connections of their own
// or run other programs. PostgreSQL is reached by pgx and run by
// internal/pgserver; benchmarks and test helpers are no part of the program.
func reachingOut(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`http\.Client\{|http\.DefaultClient|http\.DefaultTransport|http\.(?:Get|Post|PostForm|Head)\(|net\.Dial|net\.Dialer\{|tls\.Dial|exec\.Command`)
	skipped := []string{"internal/pgserver", "internal/pgtest", "internal/bench", "internal/embed/embedtest", "internal/sandbox/sandboxtest", "internal/browsertest", "connectors/connectortest"}
	var found []string
	for _, top := range []string{"cmd", "connectors", "internal", "jobs", "store", "web"} {
		err := filepath.WalkDir(filepath.Join(repository, top), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(repository, p)
			if err != nil {
				return err
			}
			if d.IsDir() && slices.Contains(skipped, filepath.ToSlash(rel)) {
				return filepath.SkipDir
			}
			if filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
				return nil
			}
			text, err := os.ReadFile(p)
			if err == nil && call.Match(text) {
				found = append(found, filepath.ToSlash(rel))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 3 {
		t.Errorf("only %v were found", found)
	}
	return found
}

// TestPagesOfSourcesAreInSync: what the connectors' Specs say stands in the page
// of each source.
func TestPagesOfSourcesAreInSync(t *testing.T) {
	t.Parallel()
	profiles, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var providers []sourcedocs.Provider
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		providers = append(providers, sourcedocs.Provider{Name: name, Title: profiles[name].Title})
	}
	for _, c := range all.New(all.Config{}).All() {
		path := "docs/sources/" + c.Spec().Source + ".md"
		text := read(t, path)
		want, err := sourcedocs.Replace(text, sourcedocs.Block(c.Spec(), providers))
		if err != nil || want != text {
			t.Errorf("%s is not what the Spec says: run make generate (%v)", path, err)
		}
	}
}
