package github

import (
	"context"

	"tributary/connectors"
)

// aclOf is the ACL of everything in r, whatever its visibility: who is in the
// group is told by memberships alone.
func aclOf(r *repository) connectors.ACL {
	return connectors.ACL{AllOf: [][]connectors.Principal{{repoGroup(r)}}}
}

// audience says who is in a repository's group.
type audience int

const (
	// audienceNobody is of a repository whose visibility is not known.
	audienceNobody audience = iota
	// audiencePublic is everybody.
	audiencePublic
	// audienceCollaborators are those whom GitHub lists.
	audienceCollaborators
)

// audience returns who reads r, by its visibility. Private has to agree with
// it; servers without internal repositories tell no visibility. A server may
// require everybody to sign in, so that nothing on it is taken for public.
func (s *session) audience(r *repository) audience {
	if r.Private == nil {
		return audienceNobody
	}
	visibility := r.Visibility
	if visibility == "" && !*r.Private {
		visibility = visibilityPublic
	} else if visibility == "" {
		visibility = visibilityPrivate
	}
	switch {
	case visibility == visibilityPublic && !*r.Private && !s.server:
		return audiencePublic
	case visibility == visibilityPublic && !*r.Private,
		(visibility == visibilityPrivate || visibility == visibilityInternal) && *r.Private:
		return audienceCollaborators
	}
	return audienceNobody
}

// The visibilities of repositories.
const (
	visibilityPublic   = "public"
	visibilityPrivate  = "private"
	visibilityInternal = "internal"
)

// organisational reports whether the members of the owner read r, too.
func (r *repository) organisational() bool {
	return r.Owner != nil && r.Owner.Type == typeOrganization && r.Visibility != visibilityPrivate && r.Visibility != "" && r.Owner.ID != 0
}

const typeOrganization = "Organization"

// withoutReaders takes note that nobody reads r, because of err.
func (s *session) withoutReaders(ctx context.Context, r *repository, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unread[r.ID] {
		s.unread[r.ID] = true
		s.log.WarnContext(ctx, "readers of a repository are not known", "repository", r.ID, "error", err)
	}
}

// Counts returns how many repositories nobody reads because their readers are
// not known.
func (s *session) Counts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int64{"repositories_without_readers": int64(len(s.unread))}
}
