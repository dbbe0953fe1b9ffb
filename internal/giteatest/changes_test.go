package giteatest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/internal/secret"
)

// judgeChanges lets things happen and proves that the feed shows them: what it leads to is what a fresh snapshot finds.
func (s *server) judgeChanges(e *engine, began connectors.Cursor, token string, settings map[string]string, most int) {
	s.t.Helper()
	quiet := s.follow(e, began, "nothing", 0)
	repos := 8
	for _, round := range []struct {
		what string
		do   func()
		more int // repositories
	}{
		{"files", s.changeFiles, 0},
		{"a rewritten branch", s.rewrite, 0},
		{"issues", s.changeIssues, 0},
		{"wiki pages", s.changeWiki, 0},
		{"repositories", s.changeRepositories, 1},
		{"rights", s.changeRights, 0},
	} {
		round.do()
		repos += round.more
		quiet = s.follow(e, quiet, round.what, 0)
		fresh := s.open(token, settings)
		fresh.snapshot()
		s.reconcile(e)
		e.same(round.what, fresh)
		s.requests()
		limit := 0
		if most == 50 { // where lists are not cut shorter than servers do
			limit = 5*repos + 3
		}
		quiet = s.follow(e, quiet, "nothing after "+round.what, limit)
	}
	s.judgeReaders(e)
}

// follow applies the changes since from and returns the position behind them. limit is how many requests it may cost, 0 any.
func (s *server) follow(e *engine, from connectors.Cursor, what string, limit int) connectors.Cursor {
	s.t.Helper()
	s.requests()
	opened := e.opened
	e.last = from
	e.apply(as[connectors.ChangeFeed](e).Changes(s.t.Context(), from))
	asked := s.requests()
	s.t.Logf("changes after %s: %d requests, %d documents read", what, len(asked), e.opened-opened)
	if limit > 0 && (len(asked) > limit || e.opened > opened) {
		s.t.Errorf("changes after %s: %d requests, want at most %d:\n%s", what, len(asked), limit, strings.Join(asked, "\n"))
	}
	return e.last
}

// reconcile drops what a list of ids lacks.
func (s *server) reconcile(e *engine) {
	s.t.Helper()
	here := map[string]bool{}
	for p, err := range as[connectors.IDLister](e).ListIDs(s.t.Context(), nil) {
		must(s.t, err)
		for _, c := range p.Changes {
			here[c.Ref.ID] = true
		}
	}
	for id, d := range e.docs {
		if here[id] {
			continue
		}
		if !strings.HasPrefix(d.path, "cat/catpub") {
			s.t.Errorf("%s (%s) is gone and the changes did not tell", id, d.path)
		}
		delete(e.docs, id)
	}
}

const rich = "repos/org-private/priv"

func (s *server) changeFiles() {
	var file struct {
		SHA string `json:"sha"`
	}
	s.do("ann", http.MethodGet, rich+"/contents/docs/guide.md", nil, &file)
	s.do("ann", http.MethodPut, rich+"/contents/docs/guide.md", object{"content": encoded("# Guide\n\nSecond edition.\n"), "sha": file.SHA, "branch": "main", "message": "edit"}, nil)
	s.do("ann", http.MethodGet, rich+"/contents/a%23b.md", nil, &file)
	s.do("ann", http.MethodDelete, rich+"/contents/a%23b.md", object{"sha": file.SHA, "branch": "main", "message": "delete"}, nil)
	s.commit("ann", rich, object{"docs/deeper/and/new.md": "New.\n", "docs/deeper/x.md": "X.\n"})
}

// rewrite replaces the newest commit, by git.
func (s *server) rewrite() {
	s.t.Helper()
	dir := s.t.TempDir()
	address := strings.Replace(s.real, "http://", "http://ann:"+s.token("ann")+"@", 1) + "/org-private/priv.git"
	for _, args := range [][]string{
		{"clone", "-q", address, dir},
		{"-C", dir, "reset", "-q", "--hard", "HEAD~1"},
		{"-C", dir, "mv", "docs/deep/notes.txt", "docs/moved.txt"},
		{"-C", dir, "-c", "user.name=ann", "-c", "user.email=ann@kit.example", "commit", "-q", "-m", "moved"},
		{"-C", dir, "push", "-q", "--force", "origin", "main"},
	} {
		cmd := exec.CommandContext(s.t.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("git %s: %v\n%s", args[len(args)-1], err, tail(out))
		}
	}
}

func (s *server) changeIssues() {
	for at, who := range map[string]string{ // of each kind of owner, seen in each way
		"org-public/pub": "ann", "org-limited/pub": "ann", "org-private/pub": "ann", "org-limited/priv": "ann", "ben/benpriv": "ben", "cat/catpub": "cat",
	} {
		s.do(who, http.MethodPatch, "repos/"+at+"/issues/1", object{"title": "Another title"}, nil)
	}
	var remarks []struct {
		ID int64 `json:"id"`
	}
	s.do("ann", http.MethodPatch, rich+"/issues/1", object{"body": "It works.", "state": "closed"}, nil)
	s.do("ann", http.MethodGet, rich+"/issues/2/comments", nil, &remarks)
	s.do("ann", http.MethodPatch, fmt.Sprintf("%s/issues/comments/%d", rich, remarks[0].ID), object{"body": "An edited remark."}, nil)
	s.do("ann", http.MethodGet, rich+"/issues/3/comments", nil, &remarks)
	s.do("ann", http.MethodDelete, fmt.Sprintf("%s/issues/comments/%d", rich, remarks[0].ID), nil, nil)
	s.do("ann", http.MethodDelete, rich+"/issues/4", nil, nil)
	_, n := s.made("ann", rich+"/issues", object{"title": "A new one", "body": "New."})
	s.do("ann", http.MethodPost, fmt.Sprintf("%s/issues/%d/comments", rich, n), object{"body": "The first to say something."}, nil)
	s.do("ann", http.MethodPost, rich+"/pulls/5/reviews", object{"body": "A second review.", "event": "COMMENT"}, nil)
}

func (s *server) changeWiki() {
	s.do("ann", http.MethodPatch, rich+"/wiki/page/Home", object{"title": "Home", "content_base64": encoded("Home, again.\n")}, nil)
	s.do("ann", http.MethodDelete, rich+"/wiki/page/How-to", nil, nil)
	s.do("ann", http.MethodPost, rich+"/wiki/new", object{"title": "Neu & schön", "content_base64": encoded("A new page.\n")}, nil)
}

func (s *server) changeRepositories() {
	s.do("ben", http.MethodPatch, "repos/ben/benpriv", object{"name": "renamed", "description": "Renamed."}, nil)
	s.do("ann", http.MethodPost, "orgs/org-limited/repos", object{"name": "young", "private": true, "auto_init": true, "default_branch": "main"}, nil)
	s.do("ann", http.MethodPost, "orgs/org-limited/repos", object{"name": "empty", "private": true}, nil)
	s.do("cat", http.MethodDelete, "repos/cat/catpub", nil, nil)
}

func (s *server) changeRights() {
	s.do("ann", http.MethodPatch, "repos/org-public/pub", object{"private": true}, nil)
	s.do("ann", http.MethodPatch, "repos/org-limited/priv", object{"private": false}, nil)
	s.do("ann", http.MethodPatch, "orgs/org-private", object{"visibility": "limited"}, nil)
	s.do("ann", http.MethodDelete, rich+"/collaborators/dan", nil, nil)
	s.do("ann", http.MethodPut, "repos/org-limited/young/collaborators/eve", object{"permission": "read"}, nil)
	var teams []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	s.do("ann", http.MethodGet, rich+"/teams", nil, &teams)
	for _, team := range teams {
		if team.Name == "triage" {
			s.do("ann", http.MethodDelete, fmt.Sprintf("teams/%d/members/ben", team.ID), nil, nil)
			s.do("ann", http.MethodPut, fmt.Sprintf("teams/%d/members/ron", team.ID), nil, nil)
		}
	}
}

// judgeWalls proves what the connector says of what stands in an admin's way.
func (s *server) judgeWalls(app *application) {
	s.t.Helper()
	small := app.consent("eve", "read:user").Access.Reveal()
	s.judgeWall("a scope is missing", small, connectors.ScopeDenied, "scope_missing")
	s.judgeSecondConsent(app)
	s.judgeWall("no such token", "gta_no_such_token", connectors.GrantLost, "consent_replaced")
	whole := app.consent("dan", scopes()...).Access.Reveal()
	s.do(admin, http.MethodPatch, "admin/users/dan", object{"source_id": 0, "login_name": "dan", "prohibit_login": true}, nil)
	s.judgeWall("the account may not sign in", whole, connectors.GrantLost, "account_blocked")
}

// judgeSecondConsent proves that what an earlier consent did not give is named: the server keeps one consent for an account and an
// application; another one is not asked for, and has the scopes of the first, which only its introspection tells.
func (s *server) judgeSecondConsent(app *application) {
	s.t.Helper()
	again := app.consent("eve", scopes()...)
	s.judgeWall("the scopes of an earlier consent", again.Access.Reveal(), connectors.ScopeDenied, "scope_missing")
	got := app.granted(again)
	if missing := app.client.Registration.Profile.Missing(scopes(), got); !slices.Equal(got, []string{"read:user"}) || !slices.Equal(missing, scopes()[1:]) {
		s.t.Errorf("a second consent with more scopes: granted %v, missing %v", got, missing)
	}
	whole := app.consent("ben", scopes()...)
	if missing := app.client.Registration.Profile.Missing(scopes(), app.granted(whole)); len(missing) > 0 {
		s.t.Errorf("a first consent lacks %v", missing)
	}
	wrong := app.client
	wrong.Credentials.Secret = secret.New("another")
	if got, err := app.tokens.Introspect(s.t.Context(), wrong, again.Access); err == nil {
		s.t.Errorf("with a wrong secret: %v", got)
	}
	if got, err := app.tokens.Introspect(s.t.Context(), app.client, secret.New("no-such-token")); err == nil {
		s.t.Errorf("of no token: %v", got)
	}
}

func (s *server) judgeWall(what, token string, class connectors.Class, code string) {
	s.t.Helper()
	e := s.open(token, nil)
	_, verify := as[connectors.Verifier](e).Verify(s.t.Context())
	var listing error
	for _, err := range e.session.Snapshot(s.t.Context(), nil) {
		listing = err
	}
	for _, err := range []error{verify, listing} {
		if connectors.ClassOf(err) != class || codeOf(err) != code {
			s.t.Errorf("%s: class %s, code %q, want %s, %q (%v)", what, connectors.ClassOf(err), codeOf(err), class, code, err)
		}
	}
}
