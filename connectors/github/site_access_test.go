package github

import (
	"slices"
	"strconv"

	"tributary/connectors"
)

// reads is the site's own rule: whether one person may read one repository.
func (s *site) reads(login string, repo *siteRepo) bool {
	if !repo.private {
		return true
	}
	org := s.orgs[repo.owner]
	switch {
	case s.users[login] == nil:
		return false
	case org.owners[login], repo.direct[login]:
		return true
	case org.members[login] && (org.base || repo.visibility == visibilityInternal):
		return true
	}
	for id := range s.teams {
		if s.teams[id].members[login] && s.grants(id, repo) {
			return true
		}
	}
	return false
}

// grants reports whether a team, or one above it, was given the repository.
func (s *site) grants(team string, repo *siteRepo) bool {
	for ; team != ""; team = s.teams[team].parent {
		if repo.teams[team] {
			return true
		}
	}
	return false
}

// collaboratorsOf gathers the people of everything that gives access, as the
// API's list does. It shares nothing with reads.
func (s *site) collaboratorsOf(repo *siteRepo) []string {
	all := map[string]bool{}
	add := func(people map[string]bool) {
		for login, in := range people {
			all[login] = all[login] || in
		}
	}
	add(repo.direct)
	org := s.orgs[repo.owner]
	add(org.owners)
	if org.base {
		add(org.members)
	}
	var given []string
	for id, in := range repo.teams {
		if in {
			given = append(given, id)
		}
	}
	for len(given) > 0 {
		team := given[0]
		given = given[1:]
		add(s.teams[team].members)
		for id, t := range s.teams {
			if t.parent == team {
				given = append(given, id)
			}
		}
	}
	return loginsOf(all)
}

func loginsOf(people map[string]bool) []string {
	var logins []string
	for login, in := range people {
		if in {
			logins = append(logins, login)
		}
	}
	slices.Sort(logins)
	return logins
}

func (s *site) principal(login string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: strconv.FormatInt(s.users[login].id, 10)}
}

// loginOf returns whose principal it is, "" for a stranger.
func (s *site) loginOf(p connectors.Principal) string {
	for login, u := range s.users {
		if strconv.FormatInt(u.id, 10) == p.ID {
			return login
		}
	}
	return ""
}
