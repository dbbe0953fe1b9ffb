package sandbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"tributary/connectors"
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
	if err := s.api.get(ctx, request{op: op, scope: scopeAccount, path: "about"}, &a); err != nil {
		return a, err
	}
	if a.Organisation.ID == "" {
		return a, &connectors.Error{Op: op, Class: connectors.Transient, Err: errors.New("the answer names no organisation")}
	}
	return a, nil
}

// Groups yields the members of every group, of every domain with a verified
// address, and of the organisation. Who has left is a member of nothing.
func (s *session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	const op = "listing sandbox groups"
	return func(yield func(connectors.Membership, error) bool) {
		a, err := s.about(ctx, op)
		if err != nil {
			yield(connectors.Membership{}, err)
			return
		}
		active := map[string]bool{}
		for p, err := range s.people(ctx, op) {
			if err != nil {
				yield(connectors.Membership{}, err)
				return
			}
			active[p.ID] = p.Active
			for _, m := range circles(p, a.Organisation.ID, a.Organisation.Domain) {
				if !yield(m, nil) {
					return
				}
			}
		}
		for g, err := range s.groups(ctx, op) {
			if err != nil {
				yield(connectors.Membership{}, err)
				return
			}
			for _, m := range g.Members {
				member, ok := memberPrincipal(m)
				if !ok || (member.Kind == connectors.User && !active[m.ID]) {
					continue
				}
				if !yield(connectors.Membership{Member: member, Group: groupPrincipal(g)}, nil) {
					return
				}
			}
		}
	}
}

// circles returns what a person belongs to without being in a group: the
// organisation by the address's domain, and the domain once it is verified.
func circles(p person, org, orgDomain string) []connectors.Membership {
	var ms []connectors.Membership
	domain := p.domain()
	if !p.Active || domain == "" {
		return nil
	}
	user := connectors.Principal{Kind: connectors.User, ID: p.ID, Name: p.Name}
	if strings.EqualFold(domain, orgDomain) {
		ms = append(ms, connectors.Membership{Member: user, Group: anyone(org)})
	}
	if p.Verified {
		ms = append(ms, connectors.Membership{Member: user, Group: domainPrincipal(domain)})
	}
	return ms
}

func domainPrincipal(domain string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Domain, ID: strings.ToLower(domain)}
}

func groupPrincipal(g group) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: g.ID, Name: g.Name}
}

// memberPrincipal returns a member of a group; ok is false for what is neither a
// person nor a group.
func memberPrincipal(m principal) (connectors.Principal, bool) {
	p := connectors.Principal{ID: m.ID, Name: m.Name}
	switch m.Kind {
	case entryUser:
		p.Kind = connectors.User
	case entryGroup:
		p.Kind = connectors.Group
	default:
		return p, false
	}
	return p, m.ID != ""
}

func (s *session) groups(ctx context.Context, op string) iter.Seq2[group, error] {
	return paged(func(token string) ([]group, string, error) {
		var answer groupsPage
		err := s.api.get(ctx, request{op: op, scope: scopeGroups, path: "groups", query: s.paging(token)}, &answer)
		return answer.Groups, answer.Next, err
	}, op)
}

func (s *session) people(ctx context.Context, op string) iter.Seq2[person, error] {
	return paged(func(token string) ([]person, string, error) {
		var answer peoplePage
		err := s.api.get(ctx, request{op: op, scope: scopeGroups, path: "people", query: s.paging(token)}, &answer)
		return answer.People, answer.Next, err
	}, op)
}

// paged yields the entries of all pages of a list.
func paged[T any](page func(token string) (entries []T, next string, err error), op string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			entries, next, err := page(token)
			if err == nil && next != "" && next == token {
				err = &connectors.Error{Op: op, Class: connectors.Transient, Err: errRepeats}
			}
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
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
