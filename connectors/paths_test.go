package connectors_test

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/connectors"
)

func pathsOf(t *testing.T, sel connectors.Selection) connectors.Paths {
	t.Helper()
	p, err := sel.Paths()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sel     connectors.Selection
		in, out []string
	}{
		"nothing is everything":       {connectors.Selection{}, []string{"a", "a/b.md", ".git/x"}, nil},
		"a name at every depth":       {connectors.Selection{Include: []string{"*.md"}}, []string{"a.md", "x/y/b.md"}, []string{"a.txt", "x/md"}},
		"a slash anchors":             {connectors.Selection{Include: []string{"/a.md"}}, []string{"a.md"}, []string{"x/a.md"}},
		"a path is from the root":     {connectors.Selection{Include: []string{"docs/*.md"}}, []string{"docs/a.md"}, []string{"docs/x/a.md", "x/docs/a.md"}},
		"** is any number":            {connectors.Selection{Include: []string{"docs/**/a.md"}}, []string{"docs/a.md", "docs/x/y/a.md"}, []string{"a.md", "docs/x/b.md"}},
		"trailing ** is below":        {connectors.Selection{Include: []string{"docs/**"}}, []string{"docs/a", "docs/x/y"}, []string{"docs", "docsx/a"}},
		"leading ** is any depth":     {connectors.Selection{Include: []string{"**/api/*.md"}}, []string{"api/a.md", "x/y/api/a.md"}, []string{"api/x/a.md"}},
		"a directory covers":          {connectors.Selection{Include: []string{"docs/"}}, []string{"docs/a", "x/docs/y/z"}, []string{"a"}},
		"exclude wins":                {connectors.Selection{Include: []string{"*.md"}, Exclude: []string{"drafts"}}, []string{"a.md"}, []string{"drafts/a.md", "x/drafts/y/a.md"}},
		"exclude alone":               {connectors.Selection{Exclude: []string{".git", "*.tmp"}}, []string{"a", "x/git"}, []string{".git/config", "x/.git/y", "b.tmp"}},
		"a class":                     {connectors.Selection{Include: []string{"[ab].md"}}, []string{"a.md"}, []string{"c.md"}},
		"many stars cost no minutes":  {connectors.Selection{Include: []string{"**/a/**/a/**/a/**/a/**/b"}}, nil, []string{"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c"}},
		"two patterns are either one": {connectors.Selection{Include: []string{"*.md", "*.html"}}, []string{"a.md", "a.html"}, []string{"a.c"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pathsOf(t, c.sel)
			for _, item := range c.in {
				if !p.Has(item) {
					t.Errorf("%q is left out", item)
				}
				for dir := path.Dir(item); dir != "."; dir = path.Dir(dir) {
					if !p.Below(dir) {
						t.Errorf("%q is pruned and holds %q", dir, item)
					}
				}
			}
			for _, item := range c.out {
				if p.Has(item) {
					t.Errorf("%q is selected", item)
				}
			}
		})
	}
}

func TestPathsBelow(t *testing.T) {
	t.Parallel()
	p := pathsOf(t, connectors.Selection{Include: []string{"docs/**/*.md"}, Exclude: []string{"docs/old"}})
	for dir, want := range map[string]bool{"docs": true, "docs/x": true, "docs/old": false, "src": false, "docs/old/x": false} {
		if got := p.Below(dir); got != want {
			t.Errorf("%s: walked %t, want %t", dir, got, want)
		}
	}
	if !pathsOf(t, connectors.Selection{}).All() || p.All() {
		t.Error("only a selection without patterns is everything")
	}
}

func TestPathsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for glob, says := range map[string]string{
		"": "empty", "/": "empty", "a//b": "without", "../a": "without", "a/./b": "without", "[a": "unfinished", `a\`: "unfinished",
	} {
		for field, sel := range map[string]connectors.Selection{
			"selection.include": {Include: []string{"fine", glob}}, "selection.exclude": {Exclude: []string{glob}},
		} {
			_, err := sel.Paths()
			if connectors.ClassOf(err) != connectors.Invalid || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, want one that names %s and says %q", glob, err, field, says)
			}
		}
	}
}

// TestPathsPruneNothingThatIsSelected: above an item that is selected no
// container is left out.
func TestPathsPruneNothingThatIsSelected(t *testing.T) {
	t.Parallel()
	element := rapid.SampledFrom([]string{"a", "b", "ab", "*", "**", "a*", "[ab]"})
	name := rapid.SampledFrom([]string{"a", "b", "ab", "c"})
	rapid.Check(t, func(rt *rapid.T) {
		globs := func(label string) []string {
			var gs []string
			for range rapid.IntRange(0, 2).Draw(rt, label) {
				gs = append(gs, strings.Join(rapid.SliceOfN(element, 1, 4).Draw(rt, label+" pattern"), "/"))
			}
			return gs
		}
		p, err := (connectors.Selection{Include: globs("include"), Exclude: globs("exclude")}).Paths()
		if err != nil {
			rt.Fatal(err)
		}
		item := strings.Join(rapid.SliceOfN(name, 1, 5).Draw(rt, "item"), "/")
		if !p.Has(item) {
			return
		}
		for dir := path.Dir(item); dir != "."; dir = path.Dir(dir) {
			if !p.Below(dir) {
				rt.Fatalf("%q is selected, and %q above it is left out", item, dir)
			}
		}
	})
}
