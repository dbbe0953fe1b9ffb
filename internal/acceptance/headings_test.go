package acceptance

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"tributary/jobs"
	"tributary/store"
)

const (
	headingSample = 300
	headingSeed   = 20
	headingBar    = 0.90
)

// A section heading that stands on at most three pages finds its page among
// the first three results.
func TestHeadingsFindTheirPage(t *testing.T) {
	t.Parallel()
	dir := corpus(t)
	pages := headings(t, dir)
	sample := sampleHeadings(pages)
	if len(sample) != headingSample {
		t.Fatalf("only %d headings stand on at most three pages, want %d", len(sample), headingSample)
	}
	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	s.must(conn, store.Permissions, store.RunSucceeded)
	me := s.me(conn)
	found, byKind := 0, map[string][2]int{}
	var missed []string
	var took []time.Duration
	for _, h := range sample {
		began := time.Now()
		place := s.placeOf(me, h, pages[h])
		took = append(took, time.Since(began))
		kind := kindOf(pages[h][0])
		n := byKind[kind]
		n[1]++
		if place >= 1 && place <= 3 {
			found++
			n[0]++
		} else {
			missed = append(missed, fmt.Sprintf("%q: place %d, stands on %s", h, place, pages[h]))
		}
		byKind[kind] = n
	}
	slices.Sort(took)
	t.Logf("a search takes %s (median), %s (95 of 100), %s (longest)", took[len(took)/2], took[len(took)*95/100], took[len(took)-1])
	share := float64(found) / float64(len(sample))
	t.Logf("%d of %d headings (%.1f %%) find their page in the top three; %v", found, len(sample), 100*share, byKind)
	if share < headingBar || testing.Verbose() {
		for _, m := range missed {
			t.Log(m)
		}
	}
	if share < headingBar {
		t.Errorf("%.1f %% of the headings find their page, want %.0f %%", 100*share, 100*headingBar)
	}
}

// kindOf names the book that a page belongs to.
func kindOf(path string) string {
	parts := strings.Split(path, "/")
	return parts[min(3, len(parts)-1)]
}

// placeOf returns the place of the first result on one of the pages, 0 if
// there is none among the first ten. A page counts once.
func (s *site) placeOf(me store.Identity, heading string, pages []string) int {
	s.t.Helper()
	vector, profile, err := s.runner.EmbedQuery(s.t.Context(), heading)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.store.Search(s.t.Context(), me, store.SearchRequest{Query: heading, Vector: vector, Profile: profile, K: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	if !answer.Complete {
		s.t.Fatalf("searching %q: the answer is not complete", heading)
	}
	for i, r := range answer.Results {
		if slices.Contains(pages, r.Path) {
			return i + 1
		}
	}
	return 0
}

// headings returns, by heading, the pages of a tree on which it stands.
func headings(t *testing.T, dir string) map[string][]string {
	t.Helper()
	pages := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		doc, err := html.Parse(f)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		for _, h := range headingsOf(doc) {
			if !slices.Contains(pages[h], rel) {
				pages[h] = append(pages[h], rel)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// headingsOf returns the texts of h1 to h4 of a page's main content.
func headingsOf(n *html.Node) []string {
	if n.Type == html.ElementNode {
		switch {
		case isNavigation(n):
			return nil
		case n.DataAtom == atom.H1, n.DataAtom == atom.H2, n.DataAtom == atom.H3, n.DataAtom == atom.H4:
			if text := headingText(n); usable(text) {
				return []string{text}
			}
			return nil
		}
	}
	var out []string
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		out = append(out, headingsOf(c)...)
	}
	return out
}

// isNavigation reports whether an element leads elsewhere instead of saying
// something: menus, side bars, headers and footers of the site.
func isNavigation(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Nav, atom.Aside, atom.Header, atom.Footer, atom.Head, atom.Script, atom.Style, atom.Form, atom.Button, atom.Noscript:
		return true
	default:
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "role":
			if slices.Contains([]string{"navigation", "search", "banner", "contentinfo", "complementary"}, a.Val) {
				return true
			}
		case "class", "id":
			for word := range strings.FieldsSeq(strings.ToLower(a.Val)) {
				if slices.Contains([]string{
					"nav", "navheader", "navfooter", "navbar", "navigation", "sidebar", "sphinxsidebar", "sphinxsidebarwrapper", "related", "toc", "contents", "menu",
					"footer", "header", "breadcrumb", "breadcrumbs", "searchbox", "topic contents", "toc-backref",
				}, word) {
					return true
				}
			}
		}
	}
	return false
}

// headingText is what a reader sees of a heading: without its anchor sign, and
// with white space folded.
func headingText(n *html.Node) string {
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
			return
		}
		for _, a := range n.Attr {
			if a.Key == "class" && strings.Contains(a.Val, "headerlink") {
				return
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(n)
	return strings.Join(strings.Fields(strings.TrimRight(b.String(), "¶# ")), " ")
}

// usable reports whether a heading has a word to ask for.
func usable(text string) bool {
	letters := 0
	for _, r := range text {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			letters++
		}
	}
	return letters >= 3 && len(text) <= 200
}

// sampleHeadings chooses headings that stand on at most three pages.
func sampleHeadings(pages map[string][]string) []string {
	var rare []string
	for h, on := range pages {
		if len(on) <= 3 {
			rare = append(rare, h)
		}
	}
	slices.Sort(rare)
	r := rand.New(rand.NewPCG(headingSeed, headingSeed))
	r.Shuffle(len(rare), func(i, j int) { rare[i], rare[j] = rare[j], rare[i] })
	return rare[:min(len(rare), headingSample)]
}
