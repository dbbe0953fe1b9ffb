package company_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"tributary/internal/sandbox/company"
)

func load(t *testing.T) company.Organisation {
	t.Helper()
	org, err := company.Load()
	if err != nil {
		t.Fatal(err)
	}
	return org
}

// readers is a brute-force reading of Item's rule: the people who may read it.
// The public and whoever has a link are not people of the organisation.
type readers struct {
	org   company.Organisation
	items map[string]company.Item
}

func newReaders(org company.Organisation) readers {
	r := readers{org: org, items: map[string]company.Item{}}
	for _, it := range org.Items {
		r.items[it.ID] = it
	}
	return r
}

// member reports whether person belongs to group, through any nesting.
func (r readers) member(person, group string, seen map[string]bool) bool {
	if seen[group] {
		return false
	}
	seen[group] = true
	for _, g := range r.org.Groups {
		if g.ID != group {
			continue
		}
		for _, m := range g.Members {
			if m.Kind == "user" && m.ID == person || m.Kind == "group" && r.member(person, m.ID, seen) {
				return true
			}
		}
	}
	return false
}

func (r readers) named(it company.Item, p company.Person, blocked bool) bool {
	return slices.ContainsFunc(it.Entries, func(e company.Entry) bool {
		if (e.Role == "blocked") != blocked {
			return false
		}
		switch e.Kind {
		case "user":
			return e.ID == p.ID
		case "group":
			return r.member(p.ID, e.ID, map[string]bool{})
		case "anyone":
			return strings.HasSuffix(p.Email, "@"+r.org.Domain)
		case "domain":
			return strings.HasSuffix(p.Email, "@"+e.ID)
		default:
			return e.Kind == "public"
		}
	})
}

func (r readers) may(id string, p company.Person) bool {
	for at := id; at != ""; at = r.items[at].ParentID {
		if r.named(r.items[at], p, true) {
			return false
		}
	}
	return p.Active && r.granted(id, p)
}

func (r readers) granted(id string, p company.Person) bool {
	it, ok := r.items[id]
	own := r.named(it, p, false)
	switch {
	case !ok:
		return false
	case it.Restricted:
		return own && r.granted(it.ParentID, p)
	case it.Inherit:
		return own || r.granted(it.ParentID, p)
	default:
		return own
	}
}

func (r readers) of(id string) []string {
	var ids []string
	for _, p := range r.org.People {
		if r.may(id, p) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func TestCounts(t *testing.T) {
	t.Parallel()
	org := load(t)
	docs, types := 0, map[string]int{}
	for _, it := range org.Items {
		if it.Kind == "file" {
			docs++
			types[it.MediaType]++
		}
	}
	if docs < 200 || docs > 300 {
		t.Errorf("%d documents, want 200 to 300", docs)
	}
	if len(types) < 4 {
		t.Errorf("media types %v", types)
	}
	if n := len(org.People); n < 40 || n > 50 {
		t.Errorf("%d people", n)
	}
	t.Logf("%d documents, %d folders, %d people, %d groups, %v", docs, len(org.Items)-docs, len(org.People), len(org.Groups), types)
}

func TestReferencesExist(t *testing.T) {
	t.Parallel()
	org := load(t)
	people, groups, items := map[string]bool{}, map[string]bool{}, map[string]company.Item{}
	once := func(set map[string]bool, id string) {
		if id == "" || set[id] {
			t.Errorf("id %q is empty or there twice", id)
		}
		set[id] = true
	}
	mails := map[string]bool{}
	for _, p := range org.People {
		once(people, p.ID)
		once(mails, p.Email)
	}
	for _, g := range org.Groups {
		once(groups, g.ID)
	}
	known := func(where, kind, id string) {
		ok := kind == "user" && people[id] || kind == "group" && groups[id] || kind == "domain" && strings.Contains(id, ".") ||
			kind == "anyone" && id == org.ID || kind == "public" && id == "public" || kind == "link" && id == "link"
		if !ok {
			t.Errorf("%s names %s %q, which does not exist", where, kind, id)
		}
	}
	for _, g := range org.Groups {
		for _, m := range g.Members {
			known(g.ID, m.Kind, m.ID)
		}
	}
	for _, it := range org.Items {
		if _, twice := items[it.ID]; twice || it.ID == "" {
			t.Errorf("item id %q is empty or there twice", it.ID)
		}
		if parent, ok := items[it.ParentID]; it.ParentID != "" && (!ok || parent.Kind != "folder") {
			t.Errorf("%s lies in %q, which is no folder before it", it.ID, it.ParentID)
		}
		items[it.ID] = it
		known(it.ID, "user", it.AuthorID)
		for _, e := range it.Entries {
			known(it.ID, e.Kind, e.ID)
			if !slices.Contains([]string{"owner", "writer", "reader", "blocked"}, e.Role) {
				t.Errorf("%s: role %q", it.ID, e.Role)
			}
		}
		if it.Name == "" || it.Created.IsZero() || it.Updated.Before(it.Created) || it.Kind == "file" && len(it.Body) < 120 {
			t.Errorf("%s: name %q, created %s, updated %s, %d bytes", it.ID, it.Name, it.Created, it.Updated, len(it.Body))
		}
	}
}

func TestGroupsNestAndOnePairContainsEachOther(t *testing.T) {
	t.Parallel()
	org := load(t)
	inside := map[string][]string{}
	for _, g := range org.Groups {
		for _, m := range g.Members {
			if m.Kind == "group" {
				inside[g.ID] = append(inside[g.ID], m.ID)
			}
		}
	}
	var depth func(g string, path []string) int
	cycles := map[string]bool{}
	depth = func(g string, path []string) int {
		if i := slices.Index(path, g); i >= 0 {
			ring := slices.Sorted(slices.Values(path[i:]))
			cycles[strings.Join(ring, " ")] = true
			return 0
		}
		deepest := 0
		for _, in := range inside[g] {
			deepest = max(deepest, depth(in, append(slices.Clone(path), g)))
		}
		return deepest + 1
	}
	deepest := 0
	for _, g := range org.Groups {
		deepest = max(deepest, depth(g.ID, nil))
	}
	if deepest < 4 {
		t.Errorf("groups nest %d deep, want four at least", deepest)
	}
	if got := slices.Collect(maps.Keys(cycles)); len(got) != 1 {
		t.Errorf("cycles %v, want one", got)
	}
}

// TestAccess pins the deliberate cases: what the managing director does not
// see, what two people alone see, what a guest sees, and who is blocked.
func TestAccess(t *testing.T) {
	t.Parallel()
	org := load(t)
	r := newReaders(org)
	hidden := []string{}
	for _, it := range org.Items {
		who := r.of(it.ID)
		if len(who) == 0 {
			t.Errorf("%s has no reader", it.ID)
		}
		if !slices.Contains(who, "anna") {
			hidden = append(hidden, it.ID)
		}
	}
	slices.Sort(hidden)
	if !slices.Equal(hidden, []string{"md-appraisal", "mediation-notes"}) {
		t.Errorf("the managing director does not see %v", hidden)
	}
	for id, want := range map[string][]string{
		"salary-review-2027":      {"anna", "priya"},
		"mediation-notes":         {"greta", "priya"},
		"md-appraisal":            {"henrik", "marianne"},
		"remuneration-2026":       {"anna", "henrik", "marianne"},
		"quay-capital-term-sheet": {"anna", "henrik", "marianne", "matteo"},
		"penetration-test-2026":   {"anna", "david", "ingrid", "lucia", "noor", "petr", "yuki"},
		"folder-sales-contracts":  {"anna", "ewan", "leila", "matteo", "paul"},
		"contract-merrin":         {"anna", "dana", "ewan", "leila", "matteo", "paul"},
		"open-day-flyer":          {"agnes", "anna"},
	} {
		got := slices.Sorted(slices.Values(r.of(id)))
		if !slices.Equal(got, want) {
			t.Errorf("%s is read by %v, want %v", id, got, want)
		}
	}
	if slices.Contains(r.of("photo-permission"), "luis") || !slices.Contains(r.of("visitor-information"), "luis") {
		t.Error("luis is blocked from one page of the shared folder and from no other")
	}
	if !slices.Contains(r.of("merrin-order"), "dana") {
		t.Error("the press releases are public")
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	org := load(t)
	r := newReaders(org)
	qs, err := company.Questions()
	if err != nil {
		t.Fatal(err)
	}
	if len(qs) < 6 {
		t.Errorf("%d questions, want six at least", len(qs))
	}
	for _, q := range qs {
		who := r.of(q.Expects)
		if !slices.Contains(who, q.Person) || slices.Contains(who, q.HiddenFrom) {
			t.Errorf("%q: %s is read by %v, asked by %s, hidden from %s", q.Question, q.Expects, who, q.Person, q.HiddenFrom)
		}
		if !slices.ContainsFunc(org.People, func(p company.Person) bool { return p.ID == q.HiddenFrom && p.Active }) {
			t.Errorf("%q is hidden from %q, who does not exist", q.Question, q.HiddenFrom)
		}
	}
}

// maxSimilarity is the largest share of common triples of words that two
// documents may have (Jaccard).
const maxSimilarity = 0.05

func TestNoTwoDocumentsAreAlike(t *testing.T) {
	t.Parallel()
	type doc struct {
		id      string
		triples map[string]bool
	}
	var docs []doc
	for _, it := range load(t).Items {
		words := strings.Fields(strings.ToLower(it.Body))
		if it.Kind != "file" || len(words) < 3 {
			continue
		}
		d := doc{it.ID, map[string]bool{}}
		for i := range words[2:] {
			d.triples[strings.Join(words[i:i+3], " ")] = true
		}
		docs = append(docs, d)
	}
	worst, pair := 0.0, ""
	for i, a := range docs {
		for _, b := range docs[:i] {
			common := 0
			for s := range a.triples {
				if b.triples[s] {
					common++
				}
			}
			same := float64(common) / float64(len(a.triples)+len(b.triples)-common)
			if same > worst {
				worst, pair = same, a.id+" and "+b.id
			}
			if same > maxSimilarity {
				t.Errorf("%s and %s share %.0f %% of their triples", a.id, b.id, 100*same)
			}
		}
	}
	t.Logf("most alike: %s, %.1f %%", pair, 100*worst)
}
