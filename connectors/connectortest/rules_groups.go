package connectortest

import (
	"fmt"
	"maps"
	"slices"

	"tributary/connectors"
)

func groupRules() []Rule {
	groups := connectors.CanGroups
	return []Rule{
		{ID: "groups-equal", Says: "The memberships are those of the site, no more and no fewer.", Proves: groups, run: groupsEqual},
		{ID: "groups-change", Says: "A membership that changed at the site is in the next listing of groups.", run: groupsChange},
		{ID: "groups-failed", Says: "A listing of groups that failed part way ends with the error: half a set never replaces a whole one.", run: groupsFailed},
		{ID: "people-equal", Says: "The addresses of people are those of the site, verified only where the site says so.", Proves: connectors.CanPeople, run: peopleEqual},
		{ID: "people-failed", Says: "A listing of people that failed part way ends with the error: half a set never replaces a whole one.", run: peopleFailed},
	}
}

// memberships reads the groups to their end.
func (p *probe) memberships(g connectors.GroupLister) []connectors.Membership {
	var ms []connectors.Membership
	for m, err := range g.Groups(p.ctx) {
		if p.seen(err) != nil {
			p.fatal("groups: %v", err)
		}
		ms = append(ms, m)
	}
	return ms
}

func membershipKeys(ms []connectors.Membership) map[string]bool {
	keys := map[string]bool{}
	for _, m := range ms {
		keys[string(m.Member.Kind)+":"+m.Member.ID+" in "+string(m.Group.Kind)+":"+m.Group.ID] = true
	}
	return keys
}

func (p *probe) groupLister() connectors.GroupLister {
	g, ok := p.open().(connectors.GroupLister)
	if !ok {
		p.fatal("the Spec claims %q and the session does not implement it", connectors.CanGroups)
	}
	return g
}

func (p *probe) sameMemberships() {
	truth, err := p.fix.Site.Memberships()
	p.need(err, "tell its memberships")
	want, got := membershipKeys(truth), membershipKeys(p.memberships(p.groupLister()))
	if len(want) == 0 {
		p.fail("the harness: the site has no membership")
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if !got[k] {
			p.fail("%s: missing", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if !want[k] {
			p.fail("%s: not at the site", k)
		}
	}
}

func groupsEqual(p *probe) {
	p.shareAll(p.corpus())
	p.sameMemberships()
}

func groupsChange(p *probe) {
	if !p.spec.Has(connectors.CanGroups) {
		p.skip("the Spec does not claim %q", connectors.CanGroups)
	}
	p.shareAll(p.corpus())
	before, err := p.fix.Site.Memberships()
	p.want(err, "tell its memberships")
	p.memberships(p.groupLister())
	p.want(p.fix.Site.ChangeMembership(), "change a membership")
	after, err := p.fix.Site.Memberships()
	p.want(err, "tell its memberships")
	if maps.Equal(membershipKeys(before), membershipKeys(after)) {
		p.fatal("the harness: ChangeMembership changed nothing")
	}
	p.sameMemberships()
}

func groupsFailed(p *probe) {
	if !p.spec.Has(connectors.CanGroups) {
		p.skip("the Spec does not claim %q", connectors.CanGroups)
	}
	p.corpus()
	p.want(p.fix.Site.Fail(Fault{On: OnGroups, Kind: ServerError}), "fail a listing of groups")
	var last error
	n := 0
	for _, err := range p.groupLister().Groups(p.ctx) {
		n++
		last = p.seen(err)
	}
	if last == nil {
		p.fail("the site fails and the sequence ends after %d memberships without an error", n)
	}
}

func emailKeys(people []connectors.Person) map[string]bool {
	keys := map[string]bool{}
	for _, e := range people {
		keys[fmt.Sprintf("%s:%s has %s, verified %t", e.Principal.Kind, e.Principal.ID, e.Email, e.Verified)] = true
	}
	return keys
}

func peopleEqual(p *probe) {
	p.corpus()
	truth, err := p.fix.Site.Emails()
	p.need(err, "tell the addresses of its people")
	var people []connectors.Person
	for one, err := range as[connectors.PeopleLister](p, p.open()).People(p.ctx) {
		if p.seen(err) != nil {
			p.fatal("people: %v", err)
		}
		people = append(people, one)
	}
	want, got := emailKeys(truth), emailKeys(people)
	if len(want) == 0 {
		p.fail("the harness: nobody at the site has an address")
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if !got[k] {
			p.fail("%s: missing", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if !want[k] {
			p.fail("%s: not so at the site", k)
		}
	}
}

func peopleFailed(p *probe) {
	if !p.spec.Has(connectors.CanPeople) {
		p.skip("the Spec does not claim %q", connectors.CanPeople)
	}
	p.corpus()
	p.want(p.fix.Site.Fail(Fault{On: OnPeople, Kind: ServerError}), "fail a listing of people")
	lister, ok := p.open().(connectors.PeopleLister)
	if !ok {
		p.fatal("the Spec claims %q and the session does not implement it", connectors.CanPeople)
	}
	var last error
	n := 0
	for _, err := range lister.People(p.ctx) {
		n++
		last = p.seen(err)
	}
	if last == nil {
		p.fail("the site fails and the sequence ends after %d addresses without an error", n)
	}
}
