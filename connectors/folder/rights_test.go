package folder

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tributary/connectors"
)

// person is an account as the kernel sees it.
type person struct {
	uid    uint32
	groups []uint32
}

// allows is the access check of acl(5), for one bit.
func allows(a acl, who person, bit uint8) bool {
	if who.uid == 0 {
		return true
	}
	if who.uid == a.uid {
		return a.owner&bit != 0
	}
	for _, u := range a.users {
		if u.id == who.uid {
			return u.perm&a.mask&bit != 0
		}
	}
	matched, granted := false, false
	for _, g := range append([]named{{a.gid, a.group}}, a.groups...) {
		if slices.Contains(who.groups, g.id) {
			matched = true
			granted = granted || g.perm&a.mask&bit != 0
		}
	}
	if matched {
		return granted
	}
	return a.other&bit != 0
}

// groupInverted reports whether a group lacks the bit that others have: the one
// case in which a rule is narrower than the kernel.
func groupInverted(a acl, bit uint8) bool {
	if a.other&bit == 0 {
		return false
	}
	return slices.ContainsFunc(append([]named{{a.gid, a.group}}, a.groups...), func(g named) bool { return g.perm&a.mask&bit == 0 })
}

func drawACL(t *rapid.T) acl {
	id := rapid.Uint32Range(0, 4)
	perm := rapid.Custom(func(t *rapid.T) uint8 { return rapid.SampledFrom([]uint8{0, 1, 4, 5, 7}).Draw(t, "perm") })
	a := acl{
		uid: id.Draw(t, "uid"), gid: id.Draw(t, "gid"), mask: 7,
		owner: perm.Draw(t, "owner"), group: perm.Draw(t, "group"), other: perm.Draw(t, "other"),
	}
	if rapid.Bool().Draw(t, "extended") {
		a.extended = true
		a.mask = perm.Draw(t, "mask")
		for _, u := range rapid.SliceOfNDistinct(id, 0, 3, rapid.ID).Draw(t, "users") {
			a.users = append(a.users, named{u, perm.Draw(t, "user perm")})
		}
		for _, g := range rapid.SliceOfNDistinct(id, 0, 3, rapid.ID).Draw(t, "groups") {
			a.groups = append(a.groups, named{g, perm.Draw(t, "group perm")})
		}
	}
	return a
}

func drawPeople(t *rapid.T) []person {
	var all []person
	for uid := range uint32(5) {
		gs := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 4), 1, 3, rapid.ID).Draw(t, "groups of person")
		all = append(all, person{uid, gs})
	}
	return all
}

func membershipsOf(people []person) []connectors.Membership {
	var ms []connectors.Membership
	for _, p := range people {
		ms = append(ms, connectors.Membership{Member: userPrincipal(p.uid), Group: anyone()})
		for _, g := range p.groups {
			ms = append(ms, connectors.Membership{Member: userPrincipal(p.uid), Group: groupPrincipal(g)})
		}
	}
	return ms
}

func TestRuleGrantsWhatTheKernelGrants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		people := drawPeople(t)
		ms := membershipsOf(people)
		chain := rapid.SliceOfN(rapid.Custom(drawACL), 1, 5).Draw(t, "chain")
		var r rule
		narrowed := false
		bitOf := func(i int) uint8 {
			if i == len(chain)-1 {
				return readBit
			}
			return searchBit
		}
		for i, a := range chain {
			r = r.require(a, bitOf(i), idSpace{})
			narrowed = narrowed || groupInverted(a, bitOf(i))
		}
		if narrowed && !r.inverted {
			t.Fatalf("narrower than the kernel and not counted: %+v", chain)
		}
		list := r.acl()
		if err := list.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			kernel := true
			for i, a := range chain {
				kernel = kernel && allows(a, p, bitOf(i))
			}
			ours := passes(list, closure(p.uid, ms))
			switch {
			case ours && !kernel:
				t.Fatalf("%+v may not read through %+v and may by %v", p, chain, list)
			case kernel && !ours && !narrowed:
				t.Fatalf("%+v may read through %+v and may not by %v", p, chain, list)
			}
		}
	})
}

func TestRuleDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		chain := rapid.SliceOfN(rapid.Custom(drawACL), 2, 6).Draw(t, "chain")
		shuffled := rapid.Permutation(chain).Draw(t, "shuffled")
		rule1, rule2 := rule{}, rule{}
		for i := range chain {
			rule1 = rule1.require(chain[i], searchBit, idSpace{})
			rule2 = rule2.require(shuffled[i], searchBit, idSpace{})
		}
		same := slices.EqualFunc(rule1.acl().AllOf, rule2.acl().AllOf, slices.Equal[[]connectors.Principal])
		if !same || !slices.Equal(rule1.deny, rule2.deny) {
			t.Fatalf("%v in one order, %v in another: two ACLs where one is enough", rule1.acl(), rule2.acl())
		}
	})
}

func TestModes(t *testing.T) {
	t.Parallel()
	const u, g = 1000, 100
	user, group, root := userPrincipal(u), groupPrincipal(g), userPrincipal(0)
	all := []connectors.Principal{anyone()}
	for name, c := range map[string]struct {
		mode     uint32
		want     []connectors.Principal
		deny     []connectors.Principal
		inverted bool
	}{
		"0644 is every account":                      {0o644, all, nil, false},
		"0444 is every account":                      {0o444, all, nil, false},
		"0640 is owner and group":                    {0o640, []connectors.Principal{group, root, user}, nil, false},
		"0600 is the owner":                          {0o600, []connectors.Principal{root, user}, nil, false},
		"0000 is root":                               {0, []connectors.Principal{root}, nil, false},
		"0111 is root: nobody has the read bit":      {0o111, []connectors.Principal{root}, nil, false},
		"0604 leaves others out with the group":      {0o604, []connectors.Principal{root, user}, nil, true},
		"0004 leaves others out with the group":      {0o004, []connectors.Principal{root}, nil, true},
		"0040 denies the owner, who may be a member": {0o040, []connectors.Principal{group, root}, []connectors.Principal{user}, true},
		"0044 denies the owner":                      {0o044, all, []connectors.Principal{user}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rule{}.require(fromMode(inode{uid: u, gid: g, mode: c.mode}), readBit, idSpace{})
			got := r.acl()
			if len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], c.want) {
				t.Errorf("clauses %v, want %v", got.AllOf, c.want)
			}
			if r.inverted != c.inverted {
				t.Errorf("inverted %t, want %t", r.inverted, c.inverted)
			}
			if !slices.Equal(got.Deny, c.deny) {
				t.Errorf("deny %v, want %v", got.Deny, c.deny)
			}
		})
	}
}

func TestRootOwnerIsNeverInverted(t *testing.T) {
	t.Parallel()
	r := rule{}.require(fromMode(inode{uid: 0, gid: 100, mode: 0o044}), readBit, idSpace{})
	if r.inverted || len(r.acl().Deny) > 0 {
		t.Errorf("uid 0 reads everything; got %v, inverted %t", r.acl(), r.inverted)
	}
}

func TestUnmappedIDsNameNobody(t *testing.T) {
	t.Parallel()
	ids := idSpace{partial: true, overflowUser: 65534, overflowGrp: 65534}
	got := rule{}.require(fromMode(inode{uid: 65534, gid: 65534, mode: 0o640}), readBit, ids).acl()
	if want := []connectors.Principal{userPrincipal(0)}; len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], want) {
		t.Errorf("an owner outside the namespace reads as 65534, which is an account here: %v", got)
	}
	whole := rule{}.require(fromMode(inode{uid: 65534, gid: 65534, mode: 0o640}), readBit, idSpace{overflowUser: 65534}).acl()
	if len(whole.AllOf[0]) != 3 {
		t.Errorf("with every id mapped, 65534 is an account: %v", whole)
	}
}

func TestUnknownStaysUnknown(t *testing.T) {
	t.Parallel()
	r := rule{unknown: true}.require(fromMode(inode{mode: 0o777}), readBit, idSpace{})
	if r.acl().Known() {
		t.Errorf("below a directory with unknown permissions: %v", r.acl())
	}
}

func TestTooManyClausesAreNobody(t *testing.T) {
	t.Parallel()
	var r rule
	for gid := range uint32(connectors.MaxClauses + 1) {
		r = r.require(fromMode(inode{uid: 1000 + gid, gid: 5000 + gid, mode: 0o550}), readBit, idSpace{})
	}
	if got := r.acl(); len(got.AllOf) != 0 {
		t.Errorf("%d clauses, and the store holds %d", len(got.AllOf), connectors.MaxClauses)
	}
}

func TestClausesImplyEachOther(t *testing.T) {
	t.Parallel()
	var r rule
	for _, mode := range []uint32{0o755, 0o750, 0o755, 0o700, 0o750} {
		r = r.require(fromMode(inode{uid: 1000, gid: 100, mode: mode}), searchBit, idSpace{})
	}
	want := []connectors.Principal{userPrincipal(0), userPrincipal(1000)}
	if got := r.acl(); len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], want) {
		t.Errorf("%v, want the strictest clause alone", got)
	}
}
