package giteatest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// The people: ann owns every organisation and connects, ben is in every team, cat in those that see a part, dan collaborates,
// eve is nobody in particular, rik is restricted and in a team, ron is restricted and in none.
func people() []string { return []string{"ann", "ben", "cat", "dan", "eve", "rik", "ron"} }

// populate makes accounts, organisations of each visibility with teams, and repositories with content.
func (s *server) populate() {
	s.t.Helper()
	for _, who := range people() {
		s.do(admin, http.MethodPost, "admin/users", object{
			"username": who, "email": who + "@kit.example", "password": password, "must_change_password": false, "full_name": "Person " + who, "restricted": who[0] == 'r',
		}, nil)
	}
	for _, visibility := range []string{"public", "limited", "private"} {
		s.organisation("org-"+visibility, visibility)
	}
	s.repository("ben", "user/repos", "ben", "benpriv", true)
	s.do("ben", http.MethodPut, "repos/ben/benpriv/collaborators/ann", object{"permission": "read"}, nil)
	s.do("ben", http.MethodPut, "repos/ben/benpriv/collaborators/dan", object{"permission": "read"}, nil)
	s.repository("cat", "user/repos", "cat", "catpub", false)
	s.do("cat", http.MethodPut, "repos/cat/catpub/collaborators/rik", object{"permission": "read"}, nil)
	s.do("dan", http.MethodPost, "user/repos", object{"name": "danpriv", "private": true, "auto_init": true}, nil) // ann cannot see it
}

// organisation makes an organisation with a public and a private repository, whose teams see different parts.
func (s *server) organisation(name, visibility string) {
	s.t.Helper()
	s.do("ann", http.MethodPost, "orgs", object{"username": name, "visibility": visibility}, nil)
	team := func(teamName string, units map[string]string, members ...string) {
		id, _ := s.made("ann", "orgs/"+name+"/teams", object{"name": teamName, "permission": "read", "units_map": units, "includes_all_repositories": true})
		for _, m := range members {
			s.do("ann", http.MethodPut, fmt.Sprintf("teams/%d/members/%s", id, m), nil, nil)
		}
	}
	team("readers", map[string]string{"repo.code": "read", "repo.issues": "read", "repo.pulls": "read", "repo.wiki": "read"}, "ben", "rik")
	team("coders", map[string]string{"repo.code": "write"}, "cat")
	team("triage", map[string]string{"repo.issues": "write", "repo.wiki": "none"}, "ben", "cat")
	s.repository("ann", "orgs/"+name+"/repos", name, "pub", false)
	s.repository("ann", "orgs/"+name+"/repos", name, "priv", true)
	s.do("ann", http.MethodPut, "repos/"+name+"/priv/collaborators/dan", object{"permission": "read"}, nil)
}

// repository makes a repository with a file, an issue, a pull request and a wiki page; one of them has more of everything.
func (s *server) repository(who, create, owner, name string, private bool) {
	s.t.Helper()
	s.do(who, http.MethodPost, create, object{"name": name, "private": private, "auto_init": true, "default_branch": "main", "description": "About " + name + "."}, nil)
	at := "repos/" + owner + "/" + name
	rich := at == richRepo
	s.do(who, http.MethodPost, at+"/contents/feature.md", object{"content": encoded("A feature.\n"), "branch": "main", "new_branch": "feature", "message": "feature"}, nil)
	issues, pages := 1, []string{"Home"}
	if rich {
		issues, pages = 4, []string{"Home", "How to", "Été"}
		s.commit(who, at, object{"docs/guide.md": "# Guide\n", "docs/deep/notes.txt": "The text of priv.\n", "déjà vu.md": "Seen before.\n", "a#b.md": "An odd name.\n"})
	}
	for i := range issues {
		_, n := s.made(who, at+"/issues", object{"title": fmt.Sprintf("Issue %d of %s", i, name), "body": "It does not work."})
		s.do(who, http.MethodPost, fmt.Sprintf("%s/issues/%d/comments", at, n), object{"body": fmt.Sprintf("Remark on issue %d.", n)}, nil)
	}
	_, n := s.made(who, at+"/pulls", object{"title": "Pull of " + name, "body": "Please take it.", "base": "main", "head": "feature"})
	if rich {
		s.do(who, http.MethodPost, fmt.Sprintf("%s/issues/%d/comments", at, n), object{"body": "A remark on the pull request."}, nil)
		s.do(who, http.MethodPost, fmt.Sprintf("%s/pulls/%d/reviews", at, n), object{
			"body": "The review of it.", "event": "COMMENT", "comments": []object{{"path": "feature.md", "body": "This line.", "new_position": 1}},
		}, nil)
	}
	for _, title := range pages {
		s.do(who, http.MethodPost, at+"/wiki/new", object{"title": title, "content_base64": encoded("The page " + title + " of " + name + ".\n")}, nil)
	}
}

// richRepo is the repository with more of everything.
const richRepo = "repos/org-private/priv"

// commit writes files in one commit.
func (s *server) commit(who, at string, files object) {
	s.t.Helper()
	var changes []object
	for path, text := range files {
		changes = append(changes, object{"operation": "upload", "path": path, "content": encoded(fmt.Sprint(text))})
	}
	s.do(who, http.MethodPost, at+"/contents", object{"branch": "main", "message": "write", "files": changes}, nil)
}
