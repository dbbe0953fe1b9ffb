package jobs

import (
	"context"
	"fmt"
	"maps"

	"tributary/connectors"
	"tributary/store"
)

// What a listing of groups or people may hold in memory.
const (
	maxMemberships = 5_000_000
	maxPeople      = 2_000_000
)

// permissions advances a run of lane permissions: first the memberships and the
// addresses of people, each as a whole, then every document's ACL.
func (s *syncer) permissions(ctx context.Context) sliceEnd {
	if s.run.Cursor.IsZero() {
		if err := s.memberships(ctx); err != nil {
			return sliceEnd{err: err}
		}
		if err := s.people(ctx); err != nil {
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

// people replaces what the source says of its people's addresses if, and only
// if, the source gave all of it.
func (s *syncer) people(ctx context.Context) error {
	lister, ok := s.session.(connectors.PeopleLister)
	if !ok || !s.spec.Has(connectors.CanPeople) {
		return nil
	}
	var all []connectors.Person
	for p, err := range lister.People(ctx) {
		if err != nil {
			return err
		}
		if len(all) == maxPeople {
			return bug("more than %d addresses", maxPeople)
		}
		all = append(all, p)
	}
	read, err := s.r.store.ReplaceEmails(ctx, s.run, s.realm, all)
	if err != nil {
		return fmt.Errorf("replacing e-mails: %w", err)
	}
	extra := map[string]int64{"emails_changed": read.Changed, "emails_unusable": read.Unusable, "readers_mapped": read.Made, "readers_unmapped": read.Ended}
	maps.DeleteFunc(extra, func(_ string, n int64) bool { return n == 0 })
	if len(extra) == 0 {
		return nil
	}
	_, err = s.r.store.AddCounts(ctx, s.run, store.Counts{Extra: extra})
	return err
}
