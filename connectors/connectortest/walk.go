package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"tributary/connectors"
)

// walk is one reading of a sequence of pages.
type walk struct {
	from  connectors.Cursor
	pages []connectors.Page
	err   error
	// broken says how the sequence broke the contract, "" where it did not.
	broken string
}

// complete reports whether any page said Complete.
func (w walk) complete() bool {
	return slices.ContainsFunc(w.pages, func(p connectors.Page) bool { return p.Complete })
}

// at returns the cursor that page i was read at.
func (w walk) at(i int) connectors.Cursor {
	if i == 0 {
		return w.from
	}
	return w.pages[i-1].Next
}

// last returns the cursor behind the last page.
func (w walk) last() connectors.Cursor { return w.at(len(w.pages)) }

// changes returns the changes of all pages, in order.
func (w walk) changes() []connectors.Change {
	var all []connectors.Change
	for _, p := range w.pages {
		all = append(all, p.Changes...)
	}
	return all
}

// errStop ends a reading at the consumer's wish.
var errStop = errors.New("stopped by the kit")

// read reads seq as the engine does: it accepts pages in order and gives up on
// a cursor that does not move. each may be nil; errStop from it ends the
// reading.
func (p *probe) read(seq iter.Seq2[connectors.Page, error], from connectors.Cursor, each func(n int, page connectors.Page) error) walk {
	w := walk{from: from}
	limit := 20*p.h.items() + 100
	cursors := map[string]bool{string(from): true}
	for page, err := range seq {
		if w.err != nil {
			w.broken = fmt.Sprintf("the sequence goes on after its error (%v)", w.err)
			return w
		}
		if p.seen(err) != nil {
			w.err = err
			continue
		}
		w.pages = append(w.pages, page)
		if cursors[string(page.Next)] {
			w.broken = fmt.Sprintf("page %d: the cursor %q is one of before", len(w.pages), page.Next)
			return w
		}
		cursors[string(page.Next)] = true
		if len(w.pages) > limit {
			w.broken = fmt.Sprintf("no end after %d pages", limit)
			return w
		}
		if each != nil {
			if err := each(len(w.pages), page); err != nil {
				return w
			}
		}
	}
	return w
}

// snapshot reads a whole snapshot from the start, and leaves the rule when it
// fails.
func (p *probe) snapshot(s connectors.Session) walk {
	w := p.read(s.Snapshot(p.ctx, nil), nil, nil)
	p.whole("snapshot", w)
	return w
}

// whole leaves the rule unless w ended in good order.
func (p *probe) whole(what string, w walk) {
	if w.err != nil {
		p.fatal("%s: %v", what, w.err)
	}
	if w.broken != "" {
		p.fatal("%s: %s", what, w.broken)
	}
}

// pagesOf leaves the rule unless w has enough pages to prove anything.
func (p *probe) pagesOf(w walk) int {
	if len(w.pages) < minPages {
		p.fatal("the harness: %d documents make %d pages, and the rules need %d: make pages smaller or raise Harness.Items", p.h.items(), len(w.pages), minPages)
	}
	return len(w.pages)
}

// stored is a document as an engine would keep it.
type stored struct {
	revision  string
	text      string
	container string
	path      string
	acl       connectors.ACL
}

// model is the smallest engine: it applies pages in order.
type model map[string]stored

// apply applies one page and opens the bodies of revisions it does not have.
func (p *probe) apply(m model, page connectors.Page) {
	for _, c := range page.Changes {
		switch c.Op {
		case connectors.Delete:
			delete(m, c.Ref.ID)
		case connectors.SetACL:
			if d, ok := m[c.Ref.ID]; ok {
				d.acl = c.ACL
				m[c.Ref.ID] = d
			}
		case connectors.Upsert:
			p.upsert(m, c)
		default:
			p.fatal("%q: unknown operation %d", c.Ref.ID, c.Op)
		}
	}
}

func (p *probe) upsert(m model, c connectors.Change) {
	if c.Document == nil || c.Document.Open == nil {
		p.fatal("%q: an upsert without a document that opens", c.Ref.ID)
	}
	old, had := m[c.Ref.ID]
	d := stored{
		revision: c.Ref.Revision, text: old.text, acl: c.ACL,
		container: c.Document.Container, path: c.Document.Path,
	}
	if !had || old.revision != c.Ref.Revision {
		text, err := p.body(p.ctx, c)
		if c := connectors.ClassOf(err); c == connectors.ItemSkipped || c == connectors.ItemRefused {
			return
		}
		if err != nil {
			p.fatal("%q: reading the body: %v", c.Ref.ID, err)
		}
		d.text = text
	}
	m[c.Ref.ID] = d
}

// body reads the body of c to its end.
func (p *probe) body(ctx context.Context, c connectors.Change) (string, error) {
	rc, err := c.Document.Open(ctx)
	if p.seen(err) != nil {
		return "", err
	}
	data, err := io.ReadAll(rc)
	return string(data), errors.Join(p.seen(err), p.seen(rc.Close()))
}

// modelOf applies every page of w to an empty model.
func (p *probe) modelOf(w walk) model {
	m := model{}
	for _, page := range w.pages {
		p.apply(m, page)
	}
	return m
}

// sameAsTruth compares ids and texts with what the site has.
func (p *probe) sameAsTruth(what string, m model) {
	truth := p.truth()
	for _, id := range slices.Sorted(maps.Keys(truth)) {
		d, ok := m[id]
		if !ok {
			p.fail("%s: %q is at the site and is missing", what, id)
		} else if !p.sameText(d.text, truth[id].Text) {
			p.fail("%s: %q has the text %.60q, the site %.60q", what, id, d.text, truth[id].Text)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if _, ok := truth[id]; !ok {
			p.fail("%s: %q is not at the site", what, id)
		}
	}
}

func (p *probe) sameText(got, want string) bool {
	if p.h.Rendered {
		return strings.Contains(got, strings.TrimSpace(want))
	}
	return got == want
}

func (p *probe) truth() map[string]Item {
	items, err := p.fix.Site.Truth()
	p.must(err, "tell the truth")
	m := map[string]Item{}
	for _, it := range items {
		m[it.ID] = it
	}
	return m
}

// phrase stands in every text that the kit puts, and never in a log.
const phrase = "cinnamon lighthouse"

func textOf(name, version string) string {
	return "# " + name + "\n\nThe " + phrase + " of " + name + ", " + version + ".\n"
}

// corpus fills the site: three containers, one of them with another inside, and
// one name that is not plain ASCII. It returns the items in the order in which
// they were put.
func (p *probe) corpus() []Item {
	dirs := []string{"a", "a/deep", "b", "c"}
	var items []Item
	for i := range p.h.items() {
		name := fmt.Sprintf("%s/doc-%02d.md", dirs[i%len(dirs)], i)
		if i == 1 {
			name = fmt.Sprintf("%s/d\u00e9j\u00e0 vu %02d.md", dirs[i%len(dirs)], i)
		}
		items = append(items, p.put(name, "first"))
	}
	return items
}

// put creates or edits the item called name.
func (p *probe) put(name, version string) Item {
	text := textOf(name, version)
	id, err := p.fix.Site.Put(name, text)
	p.must(err, "put "+name)
	return Item{ID: id, Name: name, Text: text}
}
