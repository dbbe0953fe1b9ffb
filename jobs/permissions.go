package jobs

import (
	"context"
	"fmt"

	"tributary/connectors"
	"tributary/store"
)

// maxMemberships bounds what a group listing may hold in memory.
const maxMemberships = 5_000_000

// permissions advances a run of lane permissions: first the memberships, as a
// whole, then every document's ACL.
func (s *syncer) permissions(ctx context.Context) sliceEnd {
	if s.run.Cursor.IsZero() {
		if err := s.memberships(ctx); err != nil {
			return sliceEnd{err: err}
		}
	}
	progress := false
	feed, ok := s.session.(connectors.PermissionFeed)
	if ok && s.spec.Has(connectors.CanPermissions) && !s.run.Complete {
		p := s.pump(ctx, feed.Permissions(ctx, s.run.Cursor), s.run.Cursor)
		if p.err != nil || (!p.ended && !p.complete) {
			return sliceEnd{err: p.err, handOver: p.err == nil, progress: p.progress}
		}
		if !p.complete {
			return sliceEnd{err: bug("the permission listing ended without being complete"), progress: p.progress}
		}
		progress = p.progress
	}
	if err := s.r.store.FinishPermissions(ctx, s.run); err != nil {
		return sliceEnd{err: err, progress: progress}
	}
	return s.verdict(ctx, store.Counts{}, nil)
}

// memberships replaces the connection's memberships if, and only if, the
// source gave all of them.
func (s *syncer) memberships(ctx context.Context) error {
	lister, ok := s.session.(connectors.GroupLister)
	if !ok || !s.spec.Has(connectors.CanGroups) {
		return nil
	}
	var all []connectors.Membership
	var unusable int64
	for m, err := range lister.Groups(ctx) {
		if err != nil {
			return err
		}
		if len(all) == maxMemberships {
			return bug("more than %d memberships", maxMemberships)
		}
		// SECURITY: nobody can be linked to such a member, and an ACL that names
		// such a group, or denies it, is unknown: leaving it out widens nothing.
		if !store.UsableID(m.Member.ID) || !store.UsableID(m.Group.ID) {
			unusable++
			continue
		}
		all = append(all, m)
	}
	changed, err := s.r.store.ReplaceMemberships(ctx, s.run, s.realm, all)
	if err != nil {
		return fmt.Errorf("replacing memberships: %w", err)
	}
	counts := store.Counts{Memberships: changed}
	if unusable > 0 {
		counts.Extra = map[string]int64{"memberships_unusable": unusable}
	}
	_, err = s.r.store.AddCounts(ctx, s.run, counts)
	return err
}
