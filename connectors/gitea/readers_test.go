package gitea

import (
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
)

// judgeReaders compares, for every document and everybody, what the ACLs and memberships say with what the server's rule says.
func judgeReaders(t *testing.T, r *rig, s *session) (granted int) {
	t.Helper()
	up := map[connectors.Principal][]connectors.Principal{}
	for m, err := range s.Groups(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		m.Member.Name, m.Group.Name = "", ""
		up[m.Member] = append(up[m.Member], m.Group)
	}
	is := func(who, want connectors.Principal) bool {
		seen := map[connectors.Principal]bool{}
		todo := []connectors.Principal{who}
		for len(todo) > 0 {
			p := todo[0]
			todo = todo[1:]
			if p == want {
				return true
			}
			for _, g := range up[p] {
				if !seen[g] {
					seen[g] = true
					todo = append(todo, g)
				}
			}
		}
		return false
	}
	for _, c := range r.snapshot(s).changes {
		for _, who := range append(r.People(), connectors.Principal{Kind: connectors.User, ID: "999"}) {
			ours := false
			for _, clause := range c.ACL.AllOf {
				for _, p := range clause {
					p.Name = ""
					ours = ours || p.Kind == connectors.Public || is(who, p)
				}
			}
			theirs := r.CanRead(who, c.Ref.ID)
			if ours != theirs {
				t.Errorf("%s: %s may read it at the server: %t, by us: %t (%v)", c.Ref.ID, who.ID, theirs, ours, c.ACL)
			}
			if theirs {
				granted++
			}
		}
	}
	return granted
}

// TestReaders: of everything that a Gitea can express, the connector says what the server does.
func TestReaders(t *testing.T) {
	t.Parallel()
	worlds := map[string]func(r *fakeRepo){
		"nothing in particular":   func(*fakeRepo) {},
		"private":                 func(r *fakeRepo) { r.private = true },
		"private, a collaborator": func(r *fakeRepo) { r.private, r.collaborators = true, []int64{dave} },
		"private, teams by units": func(r *fakeRepo) {
			r.private, r.teams = true, []int64{r.owner.teams[0].id, r.owner.teams[1].id, r.owner.teams[2].id}
		},
		"a restricted collaborator": func(r *fakeRepo) { r.collaborators = []int64{rick} },
		"private organisation":      func(r *fakeRepo) { r.owner.visibility = visiblePrivate },
		"private organisation, a collaborator from outside": func(r *fakeRepo) {
			r.owner.visibility, r.private, r.collaborators = visiblePrivate, true, []int64{dave}
			r.owner.teams = r.owner.teams[:2]
		},
		"public organisation": func(r *fakeRepo) { r.owner.visibility = visiblePublic },
		"an admin team": func(r *fakeRepo) {
			r.private, r.owner.teams[2].permission, r.owner.teams[2].units = true, rightAdmin, map[string]string{}
			r.teams = append(r.teams, r.owner.teams[2].id)
			r.owner.teams[2].units = map[string]string{"repo.code": rightAdmin, "repo.issues": rightAdmin, "repo.pulls": rightAdmin, "repo.wiki": rightAdmin}
		},
		"somebody's own, private":    func(r *fakeRepo) { r.private = true; own(r, visiblePublic) },
		"somebody's own, public":     func(r *fakeRepo) { own(r, visiblePublic) },
		"somebody's own, limited":    func(r *fakeRepo) { own(r, visibleLimited) },
		"somebody's own, and hidden": func(r *fakeRepo) { own(r, visiblePrivate); r.collaborators = []int64{bob} },
	}
	for name, build := range worlds {
		for _, open := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", signed in", true: ", open"}[open], func(t *testing.T) {
				t.Parallel()
				r := newPlainRig(t)
				r.mustPut("a/doc-00.md", "a/doc-01.md", "a/doc-02.md", "a/doc-03.md")
				r.change(func(w *world) {
					w.signInRequired = !open
					build(w.repos[0])
				})
				public := publicAccounts
				if open {
					public = publicEverybody
				}
				if granted := judgeReaders(t, r, r.session(settingPublic, public)); granted == 0 {
					t.Error("nobody may read anything")
				}
			})
		}
	}
}

// own makes the repository bob's.
func own(r *fakeRepo, visibility string) {
	r.owner.id, r.owner.login, r.owner.person, r.owner.visibility, r.owner.teams, r.teams = bob, "bob", true, visibility, nil, nil
}

// TestUnknownGrantsNobody: what the server does not tell, or tells in words that are not known, lets nobody in.
func TestUnknownGrantsNobody(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"visibility of next year": `"private":false,"owner":{"id":7,"login":"org","visibility":"friends"}`,
		"no visibility":           `"private":false,"owner":{"id":7,"login":"org"}`,
		"no private":              `"owner":{"id":7,"login":"org","visibility":"public"}`,
		"private is null":         `"private":null,"owner":{"id":7,"login":"org","visibility":"public"}`,
	}
	for name, fields := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
				w.Header().Set("X-Total-Count", "1")
				path := strings.TrimPrefix(req.URL.Path, apiPrefix)
				switch path {
				case "/repos/search":
					_, _ = w.Write([]byte(`{"ok":true,"data":[{"id":9,"name":"r","full_name":"org/r","empty":true,` + fields + `}]}`))
				case "/repos/org/r/collaborators":
					_, _ = w.Write([]byte(`[]`))
				case "/repos/org/r/teams":
					_, _ = w.Write([]byte(`[{"id":3,"name":"t","permission":"tomorrow","units_map":{"repo.code":"perhaps"}},{"id":4,"name":"u","permission":"read"},null]`))
				default:
					return false
				}
				return true
			}
			s := r.session(settingPublic, publicEverybody)
			f := r.snapshot(s)
			if len(f.changes) != 1 || len(f.changes[0].ACL.AllOf) != 1 || len(f.changes[0].ACL.AllOf[0]) != 1 {
				t.Fatalf("the changes are %+v", f.changes)
			}
			for m, err := range s.Groups(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Member.ID != "team:4" || m.Group.ID != "repo:9:any" {
					t.Errorf("%v is a member of %v", m.Member, m.Group)
				}
			}
		})
	}
}

// TestSiteAdministrator: who may not sign in any more counts nowhere, where the server tells.
func TestSiteAdministrator(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	r.mustPut("a/doc-00.md")
	r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
		switch strings.TrimPrefix(req.URL.Path, apiPrefix) {
		case "/user":
			_, _ = w.Write([]byte(`{"id":1,"login":"alice","is_admin":true}`))
		case "/users/search":
			w.Header().Set("X-Total-Count", "4")
			_, _ = w.Write([]byte(`{"ok":true,"data":[{"id":1,"active":true},{"id":2,"active":false},{"id":3,"active":true,"prohibit_login":true},{"id":5,"active":true,"restricted":true}]}`))
		default:
			return false
		}
		return true
	}
	var in []string
	for m, err := range r.session().Groups(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Group == signedInGroup() {
			in = append(in, m.Member.ID)
		}
	}
	if strings.Join(in, " ") != "1" {
		t.Errorf("signed in are %v, want 1", in)
	}
}
