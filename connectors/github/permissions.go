package github

import (
	"context"
	"iter"
	"net/url"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// readers is the kind of a repository's ACL.
type readers string

const (
	// readersUnknown are nobody.
	readersUnknown readers = ""
	// readersPublic are everybody.
	readersPublic readers = "public"
	// readersUnread would be a group whose members the account may not list:
	// nobody, until it may.
	readersUnread readers = "unread"
	// readersGroup are the members of the repository's group.
	readersGroup readers = "group"
)

// Permissions yields the ACL of every document of the selection.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing github permissions", from, modeACL)
}

// access returns the ACL of everything in r, and its kind. SECURITY: a
// repository whose collaborators the account may not list, or whose visibility
// is not one that is known, is readable to nobody.
func (s *session) access(ctx context.Context, op string, r *repository) (connectors.ACL, readers, error) {
	kind := s.visible(r)
	if kind == readersGroup {
		known, err := s.listable(ctx, op, r)
		if err != nil {
			return connectors.ACL{}, readersUnknown, err
		}
		if !known {
			kind = readersUnread
		}
	}
	return aclOf(r, kind), kind, nil
}

// visible returns the kind of r's ACL as far as its visibility tells. Private
// has to agree with it; servers without internal repositories tell no
// visibility. A server may require everybody to sign in, so that nothing on it
// is taken for public.
func (s *session) visible(r *repository) readers {
	if r.Private == nil {
		return readersUnknown
	}
	visibility := r.Visibility
	if visibility == "" && !*r.Private {
		visibility = visibilityPublic
	} else if visibility == "" {
		visibility = visibilityPrivate
	}
	switch {
	case visibility == visibilityPublic && !*r.Private && !s.server:
		return readersPublic
	case visibility == visibilityPublic && !*r.Private,
		(visibility == visibilityPrivate || visibility == visibilityInternal) && *r.Private:
		return readersGroup
	}
	return readersUnknown
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

func aclOf(r *repository, kind readers) connectors.ACL {
	switch kind {
	case readersPublic:
		return connectors.ACL{AllOf: [][]connectors.Principal{{{Kind: connectors.Public, ID: string(readersPublic)}}}}
	case readersGroup:
		return connectors.ACL{AllOf: [][]connectors.Principal{{repoGroup(r)}}}
	case readersUnknown, readersUnread:
	}
	return connectors.ACL{}
}

// collaborators is the call for those who may read r: with teams and what they
// inherit, base permission and owners.
// https://docs.github.com/rest/collaborators/collaborators#list-repository-collaborators
func collaborators(op string, r *repository, q url.Values) httpx.Call {
	q.Set("affiliation", "all")
	return httpx.Call{Op: op, Path: repoPath(r, "collaborators"), Query: q}
}

// listable reports whether the account may list r's collaborators.
func (s *session) listable(ctx context.Context, op string, r *repository) (bool, error) {
	var one []collaborator
	_, err := s.api.JSON(ctx, collaborators(op, r, url.Values{"per_page": {"1"}}), &one)
	if s.refusedReaders(ctx, r, err) {
		return false, nil
	}
	return err == nil, err
}

// refusedReaders reports whether err is a no to listing r's collaborators, and
// takes note of it.
func (s *session) refusedReaders(ctx context.Context, r *repository, err error) bool {
	if !closed(err) && codeOf(err) != problemPermission {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unread[r.ID] {
		s.unread[r.ID] = true
		s.log.WarnContext(ctx, "readers of a repository are not known", "repository", r.ID, "error", spec().Problem("listing collaborators", problemReaders))
	}
	return true
}

// Counts returns how many repositories nobody reads because their readers are
// not known.
func (s *session) Counts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int64{"repositories_without_readers": int64(len(s.unread))}
}
