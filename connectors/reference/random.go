package reference

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"tributary/connectors"
)

// Random returns a world of n items, the same for the same seed: people, nested
// groups with cycles, and ACLs with several clauses, denials, empty clauses and
// unknown permissions.
func Random(seed uint64, n int) *World {
	w := New()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a world is to be repeatable
	people, groups := 3+r.IntN(8), 2+r.IntN(6)
	for i := range people {
		w.AddPeople(person(i))
	}
	for i := range groups {
		for range 1 + r.IntN(3) {
			w.Join(User(person(r.IntN(people))), Group(group(i)))
		}
	}
	// A ring through some of the groups is the cycle, chords are the nesting.
	for i := range max(2, groups/2) {
		w.Join(Group(group(i)), Group(group((i+1)%max(2, groups/2))))
	}
	for range groups {
		w.Join(Group(group(r.IntN(groups))), Group(group(r.IntN(groups))))
	}
	for i := range n {
		w.PutItem(Item{
			ID: fmt.Sprintf("doc-%05d", i), Path: fmt.Sprintf("space-%d/%s.md", r.IntN(5), words(r, 2, "-")),
			Text: text(r), ACL: randomACL(r, people, groups),
		})
	}
	return w
}

// Churn makes k changes to w, the same for the same seed and world: items are
// created, edited, moved, shared and deleted, people join and leave.
func (w *World) Churn(seed uint64, k int) {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a churn is to be repeatable
	people := len(w.People())
	groups := groupCount(w.Memberships())
	for range k {
		items := w.Truth()
		id := fmt.Sprintf("new-%05d", r.IntN(1<<16))
		if len(items) > 0 && r.IntN(5) > 0 {
			id = items[r.IntN(len(items))].ID
		}
		acl := randomACL(r, max(1, people), max(1, groups))
		switch r.IntN(6) {
		case 0:
			w.Delete(id)
		case 1:
			w.SetACL(id, acl)
		case 2:
			w.Move(id, fmt.Sprintf("space-%d/%s.md", r.IntN(5), words(r, 2, "-")))
		case 3:
			w.Join(User(person(r.IntN(max(1, people)))), Group(group(r.IntN(max(1, groups)))))
		case 4:
			if ms := w.Memberships(); len(ms) > 0 {
				m := ms[r.IntN(len(ms))]
				w.Leave(m.Member, m.Group)
			}
		default:
			w.Put(id, text(r), acl)
		}
	}
}

func groupCount(ms []connectors.Membership) int {
	groups := map[connectors.Principal]bool{}
	for _, m := range ms {
		if m.Group.Kind == connectors.Group {
			groups[m.Group] = true
		}
	}
	return len(groups)
}

func person(i int) string { return fmt.Sprintf("person-%d", i) }

func group(i int) string { return fmt.Sprintf("group-%d", i) }

func randomPrincipal(r *rand.Rand, people, groups int) connectors.Principal {
	switch r.IntN(12) {
	case 0:
		return Everyone()
	case 1, 2, 3, 4:
		return User(person(r.IntN(people)))
	default:
		return Group(group(r.IntN(groups)))
	}
}

func randomACL(r *rand.Rand, people, groups int) connectors.ACL {
	clause := func(n int) []connectors.Principal {
		var ps []connectors.Principal
		for range n {
			ps = append(ps, randomPrincipal(r, people, groups))
		}
		return ps
	}
	var acl connectors.ACL
	switch r.IntN(10) {
	case 0:
		return acl
	case 1:
		return connectors.ACL{AllOf: [][]connectors.Principal{clause(2), {}}}
	case 2:
		return Readers(Everyone())
	}
	for range 1 + r.IntN(3) {
		acl.AllOf = append(acl.AllOf, clause(1+r.IntN(3)))
	}
	if r.IntN(3) == 0 {
		acl.Deny = clause(1 + r.IntN(2))
	}
	return acl
}

func words(r *rand.Rand, n int, sep string) string {
	vocabulary := strings.Fields("river delta spring harbour lock weir tide bank mill bridge ferry marsh estuary rapid basin reed otter heron")
	var all []string
	for range n {
		all = append(all, vocabulary[r.IntN(len(vocabulary))])
	}
	return strings.Join(all, sep)
}

func text(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("# " + words(r, 3, " ") + "\n")
	for range 1 + r.IntN(4) {
		b.WriteString("\n## " + words(r, 2, " ") + "\n\n" + words(r, 20+r.IntN(60), " ") + ".\n")
	}
	return b.String()
}
