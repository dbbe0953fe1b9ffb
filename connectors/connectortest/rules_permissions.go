package connectortest

import (
	"maps"
	"slices"

	"tributary/connectors"
)

func permissionRules() []Rule {
	perm := connectors.CanPermissions
	return []Rule{
		{ID: "acl-wider", Says: "No document's ACL lets anybody read what the site does not let them read.", run: aclWider},
		{ID: "acl-narrower", Says: "Everybody whom the site lets read is let by the ACL.", run: aclNarrower},
		{ID: "acl-valid", Says: "Every ACL passes its own validation.", run: aclValid},
		{ID: "acl-unknown", Says: "Permissions that cannot be read or expressed let nobody read: by the zero ACL, or by groups without members.", run: aclUnknown},
		{ID: "acl-refused", Says: "An item whose permissions are refused keeps its place in the listing, with the zero ACL.", run: aclRefused},
		{ID: "acl-failed", Says: "Permissions that fail for a while end the listing or are the zero ACL; nothing is granted without an answer.", run: aclFailed},
		{ID: "acl-feed-same", Says: "The permission feed says of every document what the snapshot says, and nothing else.", Proves: perm, run: aclFeedSame},
		{ID: "acl-feed-change", Says: "A change of permissions alone is in the permission feed, without a body.", Proves: perm, run: aclFeedChange},
		{ID: "acl-feed-refused", Says: "The permission feed yields the zero ACL for an item whose permissions are refused.", run: aclFeedRefused},
		{ID: "acl-feed-resume", Says: "The permission feed continues after any page to the same final set, and says Complete at its end only.", Proves: perm, run: aclFeedResume},
	}
}

// shareAll spreads the audiences that the site offers over items, and returns
// those with unknown permissions.
func (p *probe) shareAll(items []Item) map[string]bool {
	unknown := map[string]bool{}
	var offered []Audience
	for i, it := range items {
		with := Audiences()[i%len(Audiences())]
		if !p.supported(p.fix.Site.Share(it.ID, with), "share an item") {
			continue
		}
		if with == ForUnknown {
			unknown[it.ID] = true
		}
		if !slices.Contains(offered, with) {
			offered = append(offered, with)
		}
	}
	if p.rule.Proves == connectors.CanPermissions && len(offered) < 2 {
		p.fatal("the Spec claims %q, and the site offers only the audiences %v", p.rule.Proves, offered)
	}
	if len(offered) > 0 {
		p.tb.Logf("audiences: %v", offered)
	}
	return unknown
}

// stranger is an account that no site knows.
func stranger() connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: "connectortest-stranger"}
}

func (p *probe) people() []connectors.Principal {
	people := p.fix.Site.People()
	if len(people) == 0 {
		p.skip("the site has no people")
	}
	return append(slices.Clone(people), stranger())
}

// circles returns what everybody is, by the memberships that the session
// yields.
func (p *probe) circles(s connectors.Session) map[connectors.Principal]circle {
	var ms []connectors.Membership
	if g, ok := s.(connectors.GroupLister); ok {
		ms = p.memberships(g)
	}
	all := map[connectors.Principal]circle{}
	for _, person := range p.people() {
		all[plain(person)] = circleOf(person, p.fix.Site.People(), ms)
	}
	return all
}

// eachReading calls fn for every document and person, with what the ACL and
// what the site says.
func (p *probe) eachReading(fn func(id string, person connectors.Principal, acl connectors.ACL, ours, theirs bool)) {
	s := p.open()
	circles := p.circles(s)
	for _, c := range p.snapshot(s).changes() {
		for person, circle := range circles {
			fn(c.Ref.ID, person, c.ACL, circle.reads(c.ACL), p.fix.Site.CanRead(person, c.Ref.ID))
		}
	}
}

// aclWider reads a listing before the items are shared, so that an ACL that was
// kept from before shows.
func aclWider(p *probe) {
	items := p.corpus()
	p.snapshot(p.open())
	p.shareAll(items)
	denied := 0
	p.eachReading(func(id string, person connectors.Principal, acl connectors.ACL, ours, theirs bool) {
		if !theirs {
			denied++
		}
		if ours && !theirs {
			p.fail("%q: %s may not read it at the site and may by %s", id, person.ID, aclKey(acl))
		}
	})
	if denied == 0 {
		p.fail("the harness: everybody may read everything, strangers included")
	}
}

func aclNarrower(p *probe) {
	unknown := p.shareAll(p.corpus())
	granted := 0
	p.eachReading(func(id string, person connectors.Principal, acl connectors.ACL, ours, theirs bool) {
		if theirs && !unknown[id] {
			granted++
			if !ours {
				p.fail("%q: %s may read it at the site and may not by %s", id, person.ID, aclKey(acl))
			}
		}
	})
	if granted == 0 {
		p.fail("the harness: nobody may read anything")
	}
}

func aclValid(p *probe) {
	p.shareAll(p.corpus())
	s := p.open()
	for _, c := range p.snapshot(s).changes() {
		if err := c.ACL.Validate(); err != nil {
			p.fail("%q: %v", c.Ref.ID, err)
		}
		if len(c.ACL.AllOf) > connectors.MaxClauses {
			p.fail("%q: %d clauses, and the store holds %d", c.Ref.ID, len(c.ACL.AllOf), connectors.MaxClauses)
		}
	}
}

func aclUnknown(p *probe) {
	items := p.corpus()
	id := items[2].ID
	p.want(p.fix.Site.Share(id, ForUnknown), "have unknown permissions")
	s := p.open()
	var circles map[connectors.Principal]circle
	if p.spec.Has(connectors.CanGroups) {
		circles = p.circles(s)
	}
	nobody := func(lane string, acl connectors.ACL) {
		if acl.Known() && circles == nil {
			p.fail("%s: %q has permissions that cannot be known and the ACL %s", lane, id, aclKey(acl))
		}
		for person, circle := range circles {
			if circle.reads(acl) {
				p.fail("%s: %q has permissions that cannot be known, and %s reads it by the ACL %s", lane, id, person.ID, aclKey(acl))
			}
		}
	}
	nobody("snapshot", p.find(p.snapshot(s), id).ACL)
	if f, ok := s.(connectors.PermissionFeed); ok {
		nobody("permissions", p.feedACLs(f)[id])
	}
}

func aclRefused(p *probe) {
	items := p.corpus()
	target := items[len(items)/2]
	judged := 0
	for _, kind := range []FaultKind{Forbidden, NotFound} {
		if !p.supported(p.fix.Site.Fail(Fault{On: OnACL, Kind: kind, Name: target.Name}), "refuse an item's permissions") {
			continue
		}
		judged++
		w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
		p.whole("with one item's permissions refused", w)
		if acl := p.find(w, target.ID).ACL; acl.Known() {
			p.fail("snapshot: the permissions of %q answer %s and the ACL is %s", target.ID, kind, aclKey(acl))
		}
		p.fix.Site.Mend()
	}
	p.judged(judged, "refuse an item's permissions")
}

func aclFailed(p *probe) {
	items := p.corpus()
	target := items[len(items)/2]
	p.want(p.fix.Site.Fail(Fault{On: OnACL, Kind: ServerError, Name: target.Name}), "fail an item's permissions")
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
	if w.broken != "" {
		p.fail("%s", w.broken)
	}
	if got := connectors.ClassOf(w.err); w.err != nil && got != connectors.Transient && got != connectors.Unknown {
		p.fail("the permissions of %q answer 500: class %s (%v)", target.ID, got, w.err)
	}
	if w.err != nil && w.complete() {
		p.fail("the permissions of %q fail, and a listing that ended with %v says Complete", target.ID, w.err)
	}
	for _, c := range w.changes() {
		if c.Ref.ID == target.ID && c.ACL.Known() {
			p.fail("the permissions of %q answer 500 and the ACL is %s", target.ID, aclKey(c.ACL))
		}
	}
}

func aclFeedRefused(p *probe) {
	items := p.corpus()
	target := items[len(items)/2]
	f, ok := p.open().(connectors.PermissionFeed)
	if !ok {
		p.skip("the session has no permission feed")
	}
	p.want(p.fix.Site.Fail(Fault{On: OnACL, Kind: Forbidden, Name: target.Name}), "refuse an item's permissions")
	acl, ok := p.feedACLs(f)[target.ID]
	if !ok {
		p.fail("%q has its permissions refused and is missing: its old ACL would stay", target.ID)
	}
	if acl.Known() {
		p.fail("the permissions of %q are refused and the ACL is %s", target.ID, aclKey(acl))
	}
}

// feedACLs reads the permission feed to its end.
func (p *probe) feedACLs(f connectors.PermissionFeed) map[string]connectors.ACL {
	w := p.read(f.Permissions(p.ctx, nil), nil, nil)
	p.whole("permissions", w)
	return p.aclsOf(w)
}

func (p *probe) aclsOf(w walk) map[string]connectors.ACL {
	acls := map[string]connectors.ACL{}
	for _, c := range w.changes() {
		if c.Op != connectors.SetACL || c.Document != nil {
			p.fail("%q: the permission feed yields %s, document %t", c.Ref.ID, c.Op, c.Document != nil)
		}
		acls[c.Ref.ID] = c.ACL
	}
	return acls
}

func (p *probe) permissionFeed() connectors.PermissionFeed {
	f, ok := p.open().(connectors.PermissionFeed)
	if !ok {
		p.fatal("the Spec claims %q and the session does not implement it", connectors.CanPermissions)
	}
	return f
}

func aclFeedSame(p *probe) {
	p.shareAll(p.corpus())
	acls := p.feedACLs(p.permissionFeed())
	listed := map[string]connectors.ACL{}
	for _, c := range p.snapshot(p.open()).changes() {
		listed[c.Ref.ID] = c.ACL
	}
	for _, id := range slices.Sorted(maps.Keys(listed)) {
		if acl, ok := acls[id]; !ok {
			p.fail("%q is in the snapshot and not in the permission feed", id)
		} else if aclKey(acl) != aclKey(listed[id]) {
			p.fail("%q: the feed says %s, the snapshot %s", id, aclKey(acl), aclKey(listed[id]))
		}
	}
	for id := range acls {
		if _, ok := listed[id]; !ok {
			p.fail("%q is in the permission feed and not in the snapshot", id)
		}
	}
}

func aclFeedChange(p *probe) {
	items := p.corpus()
	p.shareAll(items)
	before := p.feedACLs(p.permissionFeed())
	opens, countErr := p.fix.Site.BodyOpens()
	changed := 0
	for _, it := range items {
		for _, with := range []Audience{ForAll, ForOne} {
			if !p.supported(p.fix.Site.Share(it.ID, with), "share an item") {
				continue
			}
			after := p.feedACLs(p.permissionFeed())
			if aclKey(after[it.ID]) != aclKey(before[it.ID]) {
				changed++
			}
			before = after
		}
		if changed >= 2 {
			break
		}
	}
	if changed < 2 {
		p.fail("items were shared with one and with all, and the feed's ACLs do not change")
	}
	if again, err := p.fix.Site.BodyOpens(); err == nil && countErr == nil && again != opens {
		p.fail("the permission feed opened %d bodies", again-opens)
	}
}

func aclFeedResume(p *probe) {
	p.corpus()
	f := p.permissionFeed()
	w := p.read(f.Permissions(p.ctx, nil), nil, nil)
	p.whole("permissions", w)
	whole := p.aclsOf(w)
	for i, page := range w.pages {
		isLast := i == len(w.pages)-1
		if page.Complete != isLast {
			p.fail("page %d of %d: complete %t", i+1, len(w.pages), page.Complete)
		}
		if isLast {
			break
		}
		rest := p.read(p.permissionFeed().Permissions(p.ctx, page.Next), page.Next, nil)
		p.whole("the rest of the permissions", rest)
		both := p.aclsOf(walk{pages: append(slices.Clone(w.pages[:i+1]), rest.pages...)})
		if len(both) != len(whole) {
			p.fail("continued after page %d: %d documents, the whole has %d", i+1, len(both), len(whole))
		}
		if len(rest.changes()) >= len(w.changes()) && len(page.Changes) > 0 {
			p.fail("continued after page %d: the feed starts over", i+1)
		}
	}
}
