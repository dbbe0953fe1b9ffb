package github

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// repoGroup is the readers of r.
func repoGroup(r *repository) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: r.id(), Name: r.FullName}
}

// orgGroup is the members of an organisation.
func orgGroup(org *account) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: "org:" + strconv.FormatInt(org.ID, 10), Name: org.Login}
}

// everybody is the public of GitHub.com.
func everybody() connectors.Principal {
	return connectors.Principal{Kind: connectors.Public, ID: "public"}
}

var errVisibility = errors.New("its visibility is not one that is known")

// Groups yields the readers of every repository, and the members of
// organisations that read as such. SECURITY: where the visibility is not known
// or the collaborators are refused the group stays empty.
func (s *session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	const op = "listing github collaborators"
	return func(yield func(connectors.Membership, error) bool) {
		c, err := s.selected(ctx, op)
		if err != nil {
			yield(connectors.Membership{}, err)
			return
		}
		orgs := map[int64]bool{}
		for i := range c.repos {
			r := &c.repos[i]
			for m, err := range s.readersOf(ctx, op, r, orgs) {
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

// readersOf yields the members of r's group, and those of its organisation
// where they were not yielded before.
func (s *session) readersOf(ctx context.Context, op string, r *repository, orgs map[int64]bool) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		switch s.audience(r) {
		case audienceNobody:
			s.withoutReaders(ctx, r, errVisibility)
		case audiencePublic:
			yield(connectors.Membership{Member: everybody(), Group: repoGroup(r)}, nil)
		case audienceCollaborators:
			s.collaborators(ctx, op, r, orgs)(yield)
		}
	}
}

// collaborators yields those whom GitHub lists: with teams and what they
// inherit, base permission and owners.
// https://docs.github.com/rest/collaborators/collaborators#list-repository-collaborators
func (s *session) collaborators(ctx context.Context, op string, r *repository, orgs map[int64]bool) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		call := httpx.Call{Op: op, Path: repoPath(r, "collaborators"), Query: s.paged("affiliation", "all"), Again: s.cfg.PerPage}
		for who, err := range httpx.Links[collaborator](ctx, s.api, call) {
			if closed(err) || codeOf(err) == problemPermission {
				s.withoutReaders(ctx, r, spec().Problem("listing collaborators", problemReaders))
				return
			}
			if err != nil {
				yield(connectors.Membership{}, err)
				return
			}
			if who.ID == 0 || who.Permissions == nil || who.Permissions.Pull == nil || !*who.Permissions.Pull {
				continue
			}
			if !yield(connectors.Membership{Member: userPrincipal(who.account), Group: repoGroup(r)}, nil) {
				return
			}
		}
		if !r.organisational() {
			return
		}
		if !yield(connectors.Membership{Member: orgGroup(r.Owner), Group: repoGroup(r)}, nil) || orgs[r.Owner.ID] {
			return
		}
		orgs[r.Owner.ID] = true
		for m, err := range s.members(ctx, op, r.Owner) {
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// members yields the members of an organisation, as far as the account sees
// them; none where that is refused.
func (s *session) members(ctx context.Context, op string, org *account) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		call := httpx.Call{Op: op, Path: "orgs/" + url.PathEscape(org.Login) + "/members", Query: s.paged(), Again: s.cfg.PerPage}
		for who, err := range httpx.Links[account](ctx, s.api, call) {
			if closed(err) || codeOf(err) == problemPermission {
				return
			}
			if err != nil {
				yield(connectors.Membership{}, err)
				return
			}
			if who.ID != 0 && !yield(connectors.Membership{Member: userPrincipal(who), Group: orgGroup(org)}, nil) {
				return
			}
		}
	}
}
