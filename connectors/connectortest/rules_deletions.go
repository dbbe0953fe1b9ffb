package connectortest

import (
	"slices"

	"tributary/connectors"
)

func deletionRules() []Rule {
	return []Rule{
		{ID: "delete-absent", Says: "A deleted item is absent from the next complete listing.", run: deleteAbsent},
		{ID: "delete-tombstone", Says: "A source with a change feed says of a deleted item that it is deleted.", Proves: connectors.CanChanges, run: deleteTombstone},
		{ID: "delete-midway", Says: "Items deleted while the listing runs harm nothing else.", run: deleteMidway},
		{ID: "delete-unopened", Says: "The body of an item that was deleted after it was listed is class item_skipped.", run: deleteUnopened},
		{ID: "move-seen", Says: "After a move the listing holds what the site holds.", run: moveSeen},
	}
}

func deleteAbsent(p *probe) {
	items := p.corpus()
	p.sameAsTruth("before a deletion", p.modelOf(p.snapshot(p.open())))
	p.must(p.fix.Site.Delete(items[1].ID), "delete an item")
	p.must(p.fix.Site.Delete(items[6].ID), "delete an item")
	w := p.snapshot(p.open())
	if !w.complete() {
		p.fail("the listing after a deletion is not complete")
	}
	p.sameAsTruth("after a deletion", p.modelOf(w))
	p.put(items[1].Name, "again")
	p.sameAsTruth("after it was created again", p.modelOf(p.snapshot(p.open())))
}

func deleteTombstone(p *probe) {
	items := p.corpus()
	_, start := p.feedStart()
	p.must(p.fix.Site.Delete(items[1].ID), "delete an item")
	w := p.follow(model{}, start)
	told := slices.ContainsFunc(w.changes(), func(c connectors.Change) bool {
		return c.Op == connectors.Delete && c.Ref.ID == items[1].ID
	})
	if !told {
		p.fail("%q was deleted and the changes have no tombstone for it: %v", items[1].ID, idsOf(w))
	}
}

// deleteMidway deletes an item that was listed and one that was not, after
// every page in turn.
func deleteMidway(p *probe) {
	items := p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	for k := 1; k < n; k++ {
		order := p.snapshot(p.open()).changes()
		if len(order) < 2 {
			p.fatal("the listing has %d items left", len(order))
		}
		gone := []string{order[0].Ref.ID, order[len(order)-1].Ref.ID}
		m := model{}
		w := p.read(p.open().Snapshot(p.ctx, nil), nil, func(at int, page connectors.Page) error {
			if at == k {
				for _, id := range gone {
					p.must(p.fix.Site.Delete(id), "delete an item")
				}
			}
			p.apply(m, page)
			return nil
		})
		p.whole("a listing during which items vanish", w)
		if !w.complete() {
			p.fail("items vanish after page %d and the listing is not complete", k)
		}
		for _, id := range gone {
			delete(m, id)
		}
		p.sameAsTruth("items vanish meanwhile", m)
		p.restore(items)
	}
}

// restore puts every item back.
func (p *probe) restore(items []Item) {
	for _, it := range items {
		p.put(it.Name, "first")
	}
}

func deleteUnopened(p *probe) {
	items := p.corpus()
	s := p.open()
	c := p.find(p.snapshot(s), items[2].ID)
	p.must(p.fix.Site.Delete(items[2].ID), "delete an item")
	_, err := p.body(p.ctx, c)
	if got := connectors.ClassOf(err); got != connectors.ItemRefused {
		p.fail("the body of a deleted item: class %s, want %s (%v)", got, connectors.ItemRefused, err)
	}
}

func moveSeen(p *probe) {
	items := p.corpus()
	before := revisionsOf(p.snapshot(p.open()))
	moved, err := p.fix.Site.Move(items[4].ID, "c/moved.md")
	p.want(err, "move an item")
	w := p.snapshot(p.open())
	p.sameAsTruth("after a move", p.modelOf(w))
	c := p.find(w, moved)
	if moved != items[4].ID {
		if _, was := before[moved]; was {
			p.fail("the id %q after the move belonged to another item", moved)
		}
	}
	if c.Document != nil && c.Document.Path == items[4].Name {
		p.fail("%q was moved and its path is still %q", moved, c.Document.Path)
	}
}
