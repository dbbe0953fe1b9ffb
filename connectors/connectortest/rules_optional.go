package connectortest

import (
	"maps"
	"slices"

	"tributary/connectors"
)

func optionalRules() []Rule {
	return []Rule{
		{ID: "ids-truth", Says: "The list of ids is what the snapshot lists, opens no body, continues after any page, and says Complete at its end only.", Proves: connectors.CanListIDs, run: idsTruth},
		{ID: "ids-failed", Says: "A list of ids that failed never says Complete.", run: idsFailed},
		{ID: "fetch-same", Says: "Fetching one item gives what the snapshot gives.", Proves: connectors.CanFetch, run: fetchSame},
		{ID: "fetch-gone", Says: "Fetching an item that is gone is class item_refused.", Proves: connectors.CanFetch, run: fetchGone},
		{ID: "choose-selects", Says: "A choice, when selected, limits the listing to a part of the site.", Proves: connectors.CanChoose, run: chooseSelects},
		{ID: "verify-works", Says: "Verify tells what a person can recognise the connection by.", Proves: connectors.CanVerify, run: verifyWorks},
		{ID: "verify-honest", Says: "Verify fails while the site refuses the credential.", run: verifyHonest},
		{ID: "realm-stable", Says: "Realm is not empty and the same in every session.", Proves: connectors.CanRealm, run: realmStable},
		{ID: "name-resolves", Says: "A name resolves to the site's principal, and an unknown one is class invalid.", Proves: connectors.CanName, run: nameResolves},
		{ID: "self-known", Says: "Self is one of the site's people, as a user, and the same in every session.", Proves: connectors.CanSelf, run: selfKnown},
	}
}

// as returns s as the optional interface T that the Spec claims.
func as[T any](p *probe, s connectors.Session) T {
	t, ok := s.(T)
	if !ok {
		p.fatal("the Spec claims %q and the session does not implement it", p.rule.Proves)
	}
	return t
}

func idsTruth(p *probe) {
	p.corpus()
	opens, countErr := p.fix.Site.BodyOpens()
	want := idsOf(p.snapshot(p.open()))
	w := p.read(as[connectors.IDLister](p, p.open()).ListIDs(p.ctx, nil), nil, nil)
	p.whole("ids", w)
	if got := idsOf(w); !slices.Equal(got, want) {
		p.fail("ids %v, the snapshot lists %v", got, want)
	}
	for i, page := range w.pages {
		isLast := i == len(w.pages)-1
		if page.Complete != isLast {
			p.fail("page %d of %d: complete %t", i+1, len(w.pages), page.Complete)
		}
		for _, c := range page.Changes {
			if c.Op != connectors.Upsert || c.Document != nil && c.Document.Open != nil {
				p.fail("%q: the list of ids yields %s or a body", c.Ref.ID, c.Op)
			}
		}
		if isLast {
			break
		}
		rest := p.read(as[connectors.IDLister](p, p.open()).ListIDs(p.ctx, page.Next), page.Next, nil)
		p.whole("the rest of the ids", rest)
		both := idsOf(walk{pages: append(slices.Clone(w.pages[:i+1]), rest.pages...)})
		if !slices.Equal(slices.Compact(both), want) {
			p.fail("continued after page %d: %v, want %v", i+1, both, want)
		}
	}
	if again, err := p.fix.Site.BodyOpens(); err == nil && countErr == nil && again != opens {
		p.fail("listing ids opened %d bodies", again-opens)
	}
}

func idsFailed(p *probe) {
	if !p.spec.Has(connectors.CanListIDs) {
		p.skip("the Spec does not claim %q", connectors.CanListIDs)
	}
	p.corpus()
	p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ServerError, Page: 2}), "fail a listing page")
	w := p.read(as[connectors.IDLister](p, p.open()).ListIDs(p.ctx, nil), nil, nil)
	if w.err == nil || w.complete() {
		p.fail("page 2 fails at the site: error %v, complete %t", w.err, w.complete())
	}
}

func fetchSame(p *probe) {
	p.shareAll(p.corpus())
	s := p.open()
	f := as[connectors.Fetcher](p, s)
	truth := p.truth()
	for _, c := range p.snapshot(s).changes() {
		got, err := f.Fetch(p.ctx, c.Ref.ID)
		if p.seen(err) != nil {
			p.fail("%q: %v", c.Ref.ID, err)
			continue
		}
		if problem := shapeOf(got); problem != "" {
			p.fail("%q: %s", c.Ref.ID, problem)
			continue
		}
		if got.Ref != c.Ref || aclKey(got.ACL) != aclKey(c.ACL) {
			p.fail("%q: fetched %+v %s, listed %+v %s", c.Ref.ID, got.Ref, aclKey(got.ACL), c.Ref, aclKey(c.ACL))
		}
		if text, err := p.body(p.ctx, got); err != nil || !p.sameText(text, truth[c.Ref.ID].Text) {
			p.fail("%q: fetched text %.60q, error %v", c.Ref.ID, text, err)
		}
	}
}

func fetchGone(p *probe) {
	items := p.corpus()
	p.must(p.fix.Site.Delete(items[2].ID), "delete an item")
	c, err := as[connectors.Fetcher](p, p.open()).Fetch(p.ctx, items[2].ID)
	if got := connectors.ClassOf(p.seen(err)); got != connectors.ItemRefused {
		p.fail("class %s, want %s (change %+v, error %v)", got, connectors.ItemRefused, c.Ref, err)
	}
}

func chooseSelects(p *probe) {
	p.corpus()
	ids := map[string]bool{}
	for choice, err := range as[connectors.Chooser](p, p.open()).Choices(p.ctx, "") {
		if p.seen(err) != nil {
			p.fatal("choices: %v", err)
		}
		if choice.ID == "" || choice.Name == "" || ids[choice.ID] {
			p.fail("a choice without id or name, or twice: %+v", choice)
		}
		ids[choice.ID] = true
	}
	if len(ids) < 2 {
		p.fatal("%d choices, and the site has three containers", len(ids))
	}
	total := len(p.truth())
	owner := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		env := p.env()
		env.Selection = connectors.Selection{Containers: []string{id}}
		s, end := p.openEnv(env)
		listed := p.snapshot(s).changes()
		end()
		if len(listed) == 0 || len(listed) >= total {
			p.fail("choice %q selects %d of %d documents", id, len(listed), total)
		}
		for _, c := range listed {
			if other, taken := owner[c.Ref.ID]; taken {
				p.fail("%q is selected by %q and by %q", c.Ref.ID, other, id)
			}
			owner[c.Ref.ID] = id
		}
	}
	if len(owner) != total {
		p.fail("all choices together select %d of %d documents", len(owner), total)
	}
}

func verifyWorks(p *probe) {
	p.corpus()
	summary, err := as[connectors.Verifier](p, p.open()).Verify(p.ctx)
	if p.seen(err) != nil || summary == "" {
		p.fail("summary %q, error %v", summary, err)
	}
}

func verifyHonest(p *probe) {
	if !p.spec.Has(connectors.CanVerify) {
		p.skip("the Spec does not claim %q", connectors.CanVerify)
	}
	p.corpus()
	v := as[connectors.Verifier](p, p.open())
	p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: Unauthorized}), "refuse the credential")
	summary, err := v.Verify(p.ctx)
	if got := connectors.ClassOf(p.seen(err)); got != connectors.GrantLost {
		p.fail("the site answers 401: summary %q, class %s (%v)", summary, got, err)
	}
}

func realmStable(p *probe) {
	var realms []string
	for range 2 {
		realm, err := as[connectors.Realmer](p, p.open()).Realm(p.ctx)
		if p.seen(err) != nil || realm == "" {
			p.fatal("realm %q, error %v", realm, err)
		}
		realms = append(realms, realm)
	}
	if realms[0] != realms[1] {
		p.fail("realm %q in one session and %q in another", realms[0], realms[1])
	}
}

func nameResolves(p *probe) {
	names, err := p.fix.Site.Names()
	p.need(err, "tell names of principals")
	if len(names) == 0 {
		p.fatal("the harness: the site has no names")
	}
	n := as[connectors.PrincipalNamer](p, p.open())
	for name, want := range names {
		got, err := n.NamePrincipal(p.ctx, name)
		if p.seen(err) != nil || plain(got) != plain(want) {
			p.fail("%q is %s:%s, want %s:%s (error %v)", name, got.Kind, got.ID, want.Kind, want.ID, err)
		}
	}
	const nobody = "no-such-principal-of-the-kit"
	got, err := n.NamePrincipal(p.ctx, nobody)
	if class := connectors.ClassOf(p.seen(err)); class != connectors.Invalid {
		p.fail("%q is %s:%s, class %s, want %s", nobody, got.Kind, got.ID, class, connectors.Invalid)
	}
}

func selfKnown(p *probe) {
	if !p.spec.Has(connectors.CanSelf) {
		p.skip("the Spec does not claim %q", connectors.CanSelf)
	}
	var first connectors.Principal
	for i := range 2 {
		self, err := as[connectors.SelfIdentifier](p, p.open()).Self(p.ctx)
		known := slices.ContainsFunc(p.fix.Site.People(), func(who connectors.Principal) bool { return plain(who) == plain(self) })
		if p.seen(err) != nil || self.Kind != connectors.User || !known {
			p.fatal("%s:%s is none of the site's people (error %v)", self.Kind, self.ID, err)
		}
		if i > 0 && plain(self) != plain(first) {
			p.fail("%s in one session and %s in another", first.ID, self.ID)
		}
		first = self
	}
}
