package sandbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Verify returns the organisation and the account, and proves that files can be
// read.
func (s *session) Verify(ctx context.Context) (string, error) {
	const op = "verifying sandbox"
	a, err := s.about(ctx, op)
	if err != nil {
		return "", err
	}
	if _, err := s.items(ctx, op, ""); err != nil {
		return "", err
	}
	if a.Account.ID == "" {
		return a.Organisation.Name + ", the whole organisation", nil
	}
	return fmt.Sprintf("%s, as %s (%s)", a.Organisation.Name, a.Account.Name, a.Account.Email), nil
}

// Self returns the person whose account consented.
func (s *session) Self(ctx context.Context) (connectors.Principal, error) {
	const op = "asking whose grant it is"
	a, err := s.about(ctx, op)
	if err != nil {
		return connectors.Principal{}, err
	}
	if a.Account.ID == "" {
		return connectors.Principal{}, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errors.New("the grant is a client's own, and nobody's")}
	}
	return connectors.Principal{Kind: connectors.User, ID: a.Account.ID, Name: a.Account.Name}, nil
}

// Realm returns the organisation's id.
func (s *session) Realm(ctx context.Context) (string, error) {
	if s.org == "" {
		a, err := s.about(ctx, "reading the sandbox's organisation")
		if err != nil {
			return "", err
		}
		s.org = a.Organisation.ID
	}
	return s.org, nil
}

func (s *session) about(ctx context.Context, op string) (about, error) {
	var a about
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Scope: scopeAccount, Path: "about"}, &a); err != nil {
		return a, err
	}
	if a.Organisation.ID == "" {
		return a, &connectors.Error{Op: op, Class: connectors.Transient, Err: errors.New("the answer names no organisation")}
	}
	return a, nil
}

func (s *session) people(ctx context.Context, op string) iter.Seq2[person, error] {
	return httpx.Paged(ctx, op, func(ctx context.Context, token string) ([]person, string, error) {
		var answer peoplePage
		_, err := s.api.JSON(ctx, httpx.Call{Op: op, Scope: scopeGroups, Path: "people", Query: s.paging(token)}, &answer)
		return answer.People, answer.Next, err
	})
}

// NamePrincipal resolves "sandbox:ID" and the verified address of a person,
// "sandbox:@ID" of a group, and "anyone".
func (s *session) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	const op = "naming a sandbox principal"
	id, prefixed := strings.CutPrefix(name, "sandbox:")
	if name == "anyone" || name == "sandbox:anyone" {
		org, err := s.Realm(ctx)
		return anyone(org), err
	}
	if groupID, ok := strings.CutPrefix(id, "@"); ok && prefixed {
		for g, err := range s.groups(ctx, op) {
			if err != nil {
				return connectors.Principal{}, err
			}
			if g.ID == groupID {
				return groupPrincipal(g), nil
			}
		}
	} else if prefixed || strings.Contains(name, "@") {
		for p, err := range s.people(ctx, op) {
			if err != nil {
				return connectors.Principal{}, err
			}
			if (prefixed && p.ID == id) || (p.Verified && strings.EqualFold(p.Email, id)) {
				return connectors.Principal{Kind: connectors.User, ID: p.ID, Name: p.Name}, nil
			}
		}
	}
	return connectors.Principal{}, &connectors.Error{
		Op: op, Class: connectors.Invalid,
		Err: fmt.Errorf("%q is nobody here: write sandbox:ID or the verified address of a person, sandbox:@ID for a group, or anyone", name),
	}
}
