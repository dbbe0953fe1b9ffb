package connectortest

import (
	"encoding/json"
	"slices"

	"tributary/connectors"
)

func cursorRules() []Rule {
	return []Rule{
		{ID: "cursor-moves", Says: "Every page has a Next that no earlier page had.", run: cursorMoves},
		{ID: "cursor-json", Says: "Cursors are JSON, and one that was stored as JSON and read back continues at the same place.", run: cursorJSON},
		{ID: "cursor-own", Says: "A yielded cursor is never changed afterwards.", run: cursorOwn},
	}
}

func cursorMoves(p *probe) {
	p.corpus()
	s := p.open()
	check := func(what string, w walk) {
		if w.err != nil {
			p.fail("%s: %v", what, w.err)
		}
		if w.broken != "" {
			p.fail("%s: %s", what, w.broken)
		}
		for i, page := range w.pages {
			if page.Next.IsZero() {
				p.fail("%s, page %d: no Next", what, i+1)
			}
		}
	}
	check("snapshot", p.read(s.Snapshot(p.ctx, nil), nil, nil))
	if l, ok := s.(connectors.IDLister); ok {
		check("ids", p.read(l.ListIDs(p.ctx, nil), nil, nil))
	}
	if l, ok := s.(connectors.PermissionFeed); ok {
		check("permissions", p.read(l.Permissions(p.ctx, nil), nil, nil))
	}
}

func cursorJSON(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	for i, page := range w.pages[:p.pagesOf(w)-1] {
		back, err := restored(page.Next)
		if err != nil {
			p.fatal("page %d: the cursor %q is not JSON: %v", i+1, page.Next, err)
		}
		r := p.read(p.open().Snapshot(p.ctx, back), back, nil)
		p.whole("continuing from a stored cursor", r)
		rest := walk{pages: w.pages[i+1:]}
		if got, want := idsOf(r), idsOf(rest); !slices.Equal(got, want) {
			p.fail("page %d: from the stored cursor %q: %v, want %v", i+1, back, got, want)
		}
	}
}

// restored returns c as a database hands it back: same JSON value, other bytes.
func restored(c connectors.Cursor) (connectors.Cursor, error) {
	var back connectors.Cursor
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &back); err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(back, &value); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(value, "", "  ")
	return connectors.Cursor(out), err
}

func idsOf(w walk) []string {
	var ids []string
	for _, c := range w.changes() {
		ids = append(ids, c.Ref.ID)
	}
	slices.Sort(ids)
	return ids
}

func cursorOwn(p *probe) {
	p.corpus()
	var copies []string
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, func(_ int, page connectors.Page) error {
		copies = append(copies, string(page.Next))
		return nil
	})
	p.whole("snapshot", w)
	for i, page := range w.pages {
		if string(page.Next) != copies[i] {
			p.fail("page %d: the cursor was %q and has become %q", i+1, copies[i], page.Next)
		}
	}
}
