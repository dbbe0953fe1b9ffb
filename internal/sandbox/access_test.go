package sandbox_test

import (
	"strings"
	"testing"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
)

// TestAccessOfTheCompany holds access.go to a second reading of its rule, on the company of the demo.
func TestAccessOfTheCompany(t *testing.T) {
	t.Parallel()
	org, err := company.Load()
	if err != nil {
		t.Fatal(err)
	}
	w, err := sandbox.NewWorld(org)
	if err != nil {
		t.Fatal(err)
	}
	o := oracle{org: org, items: map[string]company.Item{}}
	for _, it := range org.Items {
		o.items[it.ID] = it
	}
	read, pairs := 0, 0
	for _, p := range org.People {
		for _, it := range org.Items {
			pairs++
			want := p.Active && o.reads(p, it.ID)
			if got := w.CanRead(p.ID, it.ID); got != want {
				t.Errorf("%s and %s: got %v", p.ID, it.ID, got)
			}
			if want {
				read++
			}
		}
	}
	if read == 0 || read == pairs {
		t.Errorf("%d of %d", read, pairs)
	}
	t.Logf("%d of %d pairs of person and item may read", read, pairs)
}

type oracle struct {
	org   company.Organisation
	items map[string]company.Item
}

func (o oracle) inGroup(p company.Person, id string, deep int) bool {
	for _, g := range o.org.Groups {
		for _, m := range g.Members {
			if g.ID == id && deep < 30 && (m == (company.Ref{Kind: "user", ID: p.ID}) || (m.Kind == "group" && o.inGroup(p, m.ID, deep+1))) {
				return true
			}
		}
	}
	return false
}

func (o oracle) named(p company.Person, it company.Item, blocked bool) bool {
	for _, e := range it.Entries {
		_, domain, _ := strings.Cut(p.Email, "@")
		hit := e.Kind == "public" || (e.Kind == "user" && e.ID == p.ID) || (e.Kind == "group" && o.inGroup(p, e.ID, 0)) ||
			(e.Kind == "anyone" && domain == o.org.Domain) || (e.Kind == "domain" && domain == e.ID && p.Verified)
		if hit && (e.Role == "blocked") == blocked {
			return true
		}
	}
	return false
}

func (o oracle) reads(p company.Person, id string) bool {
	for at := id; at != ""; at = o.items[at].ParentID {
		if o.named(p, o.items[at], true) {
			return false
		}
	}
	return o.granted(p, id)
}

func (o oracle) granted(p company.Person, id string) bool {
	it := o.items[id]
	own := o.named(p, it, false)
	if it.ParentID == "" {
		return own
	}
	if it.Restricted {
		return own && o.granted(p, it.ParentID)
	}
	return own || (it.Inherit && o.granted(p, it.ParentID))
}
