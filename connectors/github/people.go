package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Verify returns the account and how many repositories are selected, and
// proves that they can be listed.
func (s *session) Verify(ctx context.Context) (string, error) {
	const op = "verifying github"
	who := "an installation of the app"
	if s.grant.Kind != grantInstallation {
		me, err := s.me(ctx, op)
		if err != nil {
			return "", err
		}
		who = me.name()
	}
	c, err := s.selected(ctx, op)
	if err != nil {
		return "", err
	}
	if code := s.nothing(c); code != "" {
		return "", spec().Problem(op, code)
	}
	summary := fmt.Sprintf("%s, as %s, %d repositories", s.realm, who, len(c.repos))
	if c.partial {
		summary += "; some organisations are missing: they require single sign-on, or the app is suspended there"
	}
	if n := s.unreadable(c); n > 0 {
		summary += fmt.Sprintf("; the readers of %d cannot be listed, so that nobody finds them: push access is missing", n)
	}
	return summary, nil
}

// me is the account that consented.
func (s *session) me(ctx context.Context, op string) (account, error) {
	var me account
	_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "user"}, &me)
	if err == nil && me.ID == 0 {
		err = malformed(op)
	}
	return me, err
}

// Self returns the account that consented. An installation is nobody.
func (s *session) Self(ctx context.Context) (connectors.Principal, error) {
	const op = "identifying the github account"
	if s.grant.Kind == grantInstallation {
		return connectors.Principal{}, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errInstallation}
	}
	me, err := s.me(ctx, op)
	if err != nil {
		return connectors.Principal{}, err
	}
	return userPrincipal(me), nil
}

var errInstallation = errors.New("an installation of an app is nobody's account: connect by a person's consent to be offered a link")

// nothing returns the problem behind a list without repositories, or "".
func (s *session) nothing(c *catalogue) string {
	if len(c.repos) > 0 || !s.app() {
		return ""
	}
	for _, in := range c.installations {
		if in.SuspendedAt == nil {
			return problemInstall
		}
	}
	if len(c.installations) > 0 {
		return problemSuspended
	}
	return problemInstall
}

// unreadable counts repositories that are not public and to which the person
// who consented may not push, who then may not list their collaborators.
func (s *session) unreadable(c *catalogue) int {
	n := 0
	for i := range c.repos {
		r := &c.repos[i]
		person := s.grant.Kind != grantInstallation
		if person && s.audience(r) == audienceCollaborators && r.Permissions != nil && r.Permissions.Push != nil && !*r.Permissions.Push {
			n++
		}
	}
	return n
}

// Realm returns the instance: ids are unique on each.
func (s *session) Realm(context.Context) (string, error) { return s.realm, nil }

// webAddress is where people open a repository.
func (s *session) webAddress(fullName string) string {
	if !s.server {
		return "https://" + cloudRealm + "/" + fullName
	}
	return strings.TrimSuffix(s.api.Base, "/api/v3") + "/" + fullName
}

// NamePrincipal resolves "github:LOGIN" of a person and "github:@LOGIN" of an
// organisation's members.
func (s *session) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	const op = "naming a github principal"
	login, ours := strings.CutPrefix(name, "github:")
	org, isOrg := strings.CutPrefix(login, "@")
	path, kind := "users/"+url.PathEscape(login), typeUser
	if isOrg {
		path, kind = "orgs/"+url.PathEscape(org), typeOrganization
	}
	var a account
	var err error
	if ours && strings.TrimPrefix(login, "@") != "" {
		_, err = s.api.JSON(ctx, httpx.Call{Op: op, Path: path}, &a)
	}
	if err != nil && statusOf(err) != http.StatusNotFound {
		return connectors.Principal{}, err
	}
	switch {
	case err != nil || a.ID == 0 || a.Type != "" && a.Type != kind:
		return connectors.Principal{}, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errNobody}
	case isOrg:
		return orgGroup(&a), nil
	default:
		return userPrincipal(a), nil
	}
}

const typeUser = "User"

var errNobody = errors.New("this is nobody here: write github:LOGIN for a person, or github:@LOGIN for the members of an organisation")
