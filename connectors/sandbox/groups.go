package sandbox

import (
	"context"
	"iter"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

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

// People yields the address of everybody who is there, verified where the
// organisation has verified it.
func (s *session) People(ctx context.Context) iter.Seq2[connectors.Person, error] {
	return func(yield func(connectors.Person, error) bool) {
		for p, err := range s.people(ctx, "listing sandbox people") {
			switch {
			case err != nil:
				yield(connectors.Person{}, err)
				return
			case !p.Active || p.Email == "":
				continue
			}
			if !yield(connectors.Person{Principal: connectors.Principal{Kind: connectors.User, ID: p.ID, Name: p.Name}, Email: p.Email, Verified: p.Verified}, nil) {
				return
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
	return httpx.Paged(ctx, op, func(ctx context.Context, token string) ([]group, string, error) {
		var answer groupsPage
		_, err := s.api.JSON(ctx, httpx.Call{Op: op, Scope: scopeGroups, Path: "groups", Query: s.paging(token)}, &answer)
		return answer.Groups, answer.Next, err
	})
}
