package gitea

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// codeOf returns the known problem that err names.
func codeOf(err error) string {
	if e, ok := err.(*connectors.Error); ok { //nolint:errorlint // it is returned as it is
		return e.Code
	}
	return ""
}

// refusing lets a server answer what matches with a status and a message.
func refusing(path string, status int, message string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if path != "" && r.URL.Path != apiPrefix+path {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"message":"` + message + `","url":"https://kit.example/api/swagger"}`))
		return true
	}
}

// TestWalls: each known problem is what a server's answer leads to.
func TestWalls(t *testing.T) {
	t.Parallel()
	walls := map[string]func(r *rig){
		problemScope: func(r *rig) { r.scopes = []string{scopeUser, scopeRepository} },
		problemPublicOnly: func(r *rig) {
			r.spoil = refusing("/repos/search", http.StatusForbidden, "token scope is limited to public repos")
		},
		problemToken: func(r *rig) { r.dead = true },
		problemSignIn: func(r *rig) {
			r.spoil = refusing("", http.StatusForbidden, "Only signed in user is allowed to call APIs.")
		},
		problemBlocked: func(r *rig) {
			r.spoil = refusing("", http.StatusForbidden, "This account is prohibited from signing in, please contact your site administrator.")
		},
		problemPassword: func(r *rig) {
			r.spoil = refusing("", http.StatusForbidden, "You must change your password. Change it at: https://kit.example/user/change_password")
		},
		problemUnavailable: func(r *rig) { r.spoil = refusing("", http.StatusBadGateway, "") },
	}
	for code, build := range walls {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			r.mustPut("a/doc-00.md", "a/doc-01.md")
			build(r)
			err := read(r.session().Snapshot(t.Context(), nil)).err
			want := problemNamed(t, code)
			if connectors.ClassOf(err) != want.Class || codeOf(err) != code {
				t.Errorf("class %s, code %q, want %s, %q (%v)", connectors.ClassOf(err), codeOf(err), want.Class, code, err)
			}
		})
	}
}

func problemNamed(t *testing.T, code string) connectors.Problem {
	t.Helper()
	all := problems()
	i := slices.IndexFunc(all, func(p connectors.Problem) bool { return p.Code == code })
	if i < 0 {
		t.Fatalf("there is no problem %q", code)
	}
	return all[i]
}

// TestWallsOfVerify: what is wrong with a server is told when a connection is tested.
func TestWallsOfVerify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, code string }{
		{"another server", "<html>Welcome to nginx!</html>", problemNotGitea},
		{"an old Forgejo", `{"version":"1.21.11+0-gitea-1.21.11"}`, problemOld},
		{"no version", `{}`, problemNotGitea},
		{"an old Gitea", `{"version":"1.22.6"}`, problemOld},
		{"a very old one", `{"version":"0.13.0"}`, problemOld},
		{"the oldest that will do", `{"version":"1.23.0"}`, ""},
		{"the next major one", `{"version":"2.0.0"}`, ""},
		{"Forgejo", `{"version":"11.0.3+gitea-1.22.0"}`, ""},
		{"a build of one's own", `{"version":"development"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Path == apiPrefix+"/version" {
					_, _ = w.Write([]byte(c.body))
				}
				return req.URL.Path == apiPrefix+"/version"
			}
			summary, err := r.session().Verify(t.Context())
			if err == nil && strings.Contains(summary, "Forgejo") != strings.Contains(c.name, "Forgejo") {
				t.Errorf("the summary is %q", summary)
			}
			if codeOf(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("code %q, want %q (%v)", codeOf(err), c.code, err)
			}
			r.spoil = refusing("/version", http.StatusNotFound, "")
			if _, err := r.session().Verify(t.Context()); codeOf(err) != problemNotGitea {
				t.Errorf("no such path: code %q, want %q (%v)", codeOf(err), problemNotGitea, err)
			}
		})
	}
}

// TestHiddenReaders: what the server does not tell of readers grants nobody, and is counted under the name of the problem.
func TestHiddenReaders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		path       func(r *fakeRepo) string
		known      bool // the ACL names the group of readers
	}{
		{"collaborators", problemReaders, func(r *fakeRepo) string { return "/repos/" + r.owner.login + "/" + r.name + "/collaborators" }, false},
		{"teams of a repository", problemReaders, func(r *fakeRepo) string { return "/repos/" + r.owner.login + "/" + r.name + "/teams" }, false},
		{"members of a team", problemTeams, func(r *fakeRepo) string { return "/teams/" + number(r.owner.teams[0].id) + "/members" }, true},
		{"accounts", problemPeople, func(*fakeRepo) string { return "/users/search" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			id := r.mustPut("a/doc-00.md")[0]
			r.spoil = refusing(c.path(r.w.repos[0]), http.StatusForbidden, "Must be a team member")
			s := r.session()
			change, _ := r.snapshot(s).change(id)
			if change.ACL.Known() != c.known {
				t.Errorf("the ACL is %v", change.ACL)
			}
			for m, err := range s.Groups(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if c.code == problemPeople && m.Group == signedInGroup() || c.code == problemReaders && m.Member.Kind == connectors.Group {
					t.Errorf("%v is a member of %v", m.Member, m.Group)
				}
			}
			if n := s.Counts()[c.code]; n == 0 {
				t.Errorf("the counts are %v, want some %s", s.Counts(), c.code)
			}
		})
	}
}

// TestDeadToken: a server that treats a dead token as a stranger's gives short lists; they never say that they are complete.
func TestDeadToken(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	r.mustPut("a/doc-00.md", "b/doc-04.md")
	s := r.session()
	pages := 0
	for p, err := range s.Snapshot(t.Context(), nil) {
		if pages++; pages == 1 {
			r.change(func(w *world) { w.repos = w.repos[:1] })
			r.mu.Lock()
			r.spoil = refusing("/user", http.StatusUnauthorized, "token is required")
			r.mu.Unlock()
		}
		if p.Complete {
			t.Error("the listing says that it is complete")
		}
		if err != nil && connectors.ClassOf(err) != connectors.GrantLost {
			t.Errorf("class %s, want %s", connectors.ClassOf(err), connectors.GrantLost)
		}
	}
}
