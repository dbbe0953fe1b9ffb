package github

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

// TestCursorGolden: cursors outlive upgrades; another form needs another
// version.
func TestCursorGolden(t *testing.T) {
	t.Parallel()
	at := place{Stage: stageIssues, Commit: "c1", After: "a/b", Since: "2026-03-01T10:00:00Z", Seen: []int{4, 5}, Page: 2}
	issues := false
	rs := stateOf(&repository{ID: 7, FullName: "o/r", DefaultBranch: "main", HasIssues: &issues}, time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))
	rs.Head, rs.HeadTag, rs.To, rs.After, rs.Walk = "h1", `W/"h"`, "h2", "a/b", &at
	rs.Issues.High, rs.Issues.Tag = "2026-03-01T10:00:00Z", `W/"i"`
	for name, c := range map[string]struct {
		have connectors.Cursor
		want string
	}{
		"a listing": {
			listCursor{Repo: 7, At: at, Heads: map[int64]string{8: "c8"}}.encode(),
			`{"v":1,"list":"items","repo":7,"at":{"stage":"issues","commit":"c1","after":"a/b","since":"2026-03-01T10:00:00Z","seen":[4,5],"page":2},"heads":{"8":"c8"}}`,
		},
		"its end": {listCursor{End: true}.encode(), `{"v":1,"list":"items","end":true}`},
		"the feed": {
			feedCursor{Lists: []listPage{{"user/repos", "page=1", `W/"l"`}}, Seq: 3, Repos: []repoState{rs}}.encode(),
			`{"v":1,"list":"changes","lists":[{"path":"user/repos","query":"page=1","tag":"W/\"l\""}],"seq":3,"repos":[{"id":7,"name":"o/r",` +
				`"branch":"main","text":"b58e6cc80d286167","no_issues":true,"head":"h1","head_tag":"W/\"h\"","to":"h2","after":"a/b",` +
				`"issues":{"since":"2026-03-01T09:58:00Z","high":"2026-03-01T10:00:00Z","tag":"W/\"i\""},"comments":{"since":"2026-03-01T09:58:00Z"},` +
				`"reviews":{"since":"2026-03-01T09:58:00Z"},"walk":{"stage":"issues","commit":"c1","after":"a/b","since":"2026-03-01T10:00:00Z","seen":[4,5],"page":2}}]}`,
		},
	} {
		if string(c.have) != c.want {
			t.Errorf("%s: %s, want %s", name, c.have, c.want)
		}
	}
}

func TestCursorsOfOtherForms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]string{
		"no JSON": `page=2`, "another version": `{"v":2,"list":"items","end":true}`, "another list": `{"v":1,"list":"other"}`,
		"a string": `"items"`, "an unknown stage": `{"v":1,"list":"items","at":{"stage":"wiki"}}`,
	} {
		if _, err := parseList("", connectors.Cursor(c)); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("%s in a listing: %v", name, err)
		}
		if _, err := parseFeed("", connectors.Cursor(c)); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("%s in the feed: %v", name, err)
		}
	}
	if _, err := parseFeed("", nil); connectors.ClassOf(err) != connectors.CursorExpired {
		t.Errorf("no position: %v", err)
	}
}

// FuzzCursor: no stored cursor panics.
func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"v":1,"list":"changes","repos":[{"id":7,"walk":{}}]}`))
	f.Add([]byte(`{"v":1,"list":"items","repo":7,"at":{"stage":"files"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseList("", data); err == nil && len(data) > 0 && c.V != cursorVersion {
			t.Errorf("version %d", c.V)
		}
		if c, err := parseFeed("", data); err == nil && c.List != listChanges {
			t.Errorf("list %q", c.List)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	r := newRigAt(t, newSite(plainHandler), userGrant())
	for name, c := range map[string]struct {
		change func(e *connectors.Env)
		says   string
	}{
		"a switch that is neither":   {func(e *connectors.Env) { e.Settings[settingFiles] = "maybe" }, settingFiles},
		"a size that is none":        {func(e *connectors.Env) { e.Settings[settingMaxFile] = "lots" }, settingMaxFile},
		"a size that is too large":   {func(e *connectors.Env) { e.Settings[settingMaxFile] = "99999999" }, settingMaxFile},
		"a pattern that is none":     {func(e *connectors.Env) { e.Selection.Include = []string{"a/../b"} }, "selection.include"},
		"a container that is none":   {func(e *connectors.Env) { e.Selection.Containers = []string{"harbour"} }, "selection.containers"},
		"an address that is none":    {func(e *connectors.Env) { e.Base = "github.example.com" }, "address"},
		"an address with a password": {func(e *connectors.Env) { e.Base = "https://a:" + canary + "@github.example.com" }, "address"},
		"no grant":                   {func(e *connectors.Env) { e.HTTP = nil }, "grant"},
	} {
		env := r.env
		env.Settings = map[string]string{}
		c.change(&env)
		_, err := r.conn.Open(t.Context(), env)
		if connectors.ClassOf(err) != connectors.Invalid || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want one that names %q", name, err, c.says)
		}
	}
	for base, realm := range map[string]string{
		"": "github.com", "https://github.com/": "github.com", "https://api.github.com": "github.com", "https://GHE.example.com": "ghe.example.com",
	} {
		_, got, err := New(Config{}).address(base)
		if err != nil || got != realm {
			t.Errorf("%q: realm %q, error %v", base, got, err)
		}
	}
}

// TestSelection: what is chosen by id, by pattern and by setting.
func TestSelection(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	for _, name := range []string{"a/doc.md", "a/docs/guide.md", "b/doc.md", "c/doc.md"} {
		r.put(name, "text of "+name)
	}
	r.with(func(s *site) { s.repo("b").archived, s.repo("c").fork = true, true })
	a, b, c := r.site.repoID(r.site.repo("a")), r.site.repoID(r.site.repo("b")), r.site.repoID(r.site.repo("c"))
	for name, k := range map[string]struct {
		settings map[string]string
		sel      connectors.Selection
		want     int
	}{
		"everything but forks":          {nil, connectors.Selection{}, 7},
		"forks, too":                    {map[string]string{settingForks: "true"}, connectors.Selection{}, 10},
		"nothing archived":              {map[string]string{settingArchived: "false"}, connectors.Selection{}, 4},
		"a fork by name":                {nil, connectors.Selection{Containers: []string{c}}, 3},
		"an archived one by name":       {map[string]string{settingArchived: "false"}, connectors.Selection{Containers: []string{b}}, 3},
		"an owner":                      {nil, connectors.Selection{Containers: []string{"owner:11"}}, 7},
		"two repositories":              {nil, connectors.Selection{Containers: []string{a, c}}, 7},
		"no files":                      {map[string]string{settingFiles: "false"}, connectors.Selection{Containers: []string{a}}, 2},
		"no issues":                     {map[string]string{settingIssues: "false"}, connectors.Selection{Containers: []string{a}}, 3},
		"neither issues nor pulls":      {map[string]string{settingIssues: "false", settingPulls: "false"}, connectors.Selection{Containers: []string{a}}, 3},
		"no document of its own":        {map[string]string{settingAbout: "false"}, connectors.Selection{Containers: []string{a}}, 3},
		"a folder":                      {nil, connectors.Selection{Include: []string{"docs"}}, 1},
		"a repository by its path":      {nil, connectors.Selection{Include: []string{"harbour/a"}}, 4},
		"everything but a kind":         {nil, connectors.Selection{Containers: []string{a}, Exclude: []string{"*.md"}}, 2},
		"everything but issues by path": {nil, connectors.Selection{Containers: []string{a}, Exclude: []string{"*/*/issues"}}, 3},
		"files up to a size":            {map[string]string{settingMaxFile: "1"}, connectors.Selection{Containers: []string{a}}, 4},
	} {
		r.env.Settings, r.env.Selection = k.settings, k.sel
		r.snapshot()
		if len(r.docs) != k.want {
			t.Errorf("%s: %d documents, want %d", name, len(r.docs), k.want)
		}
		if _, err := r.tryChanges(); err != nil && !errors.Is(err, errVanished) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
