package extract

import (
	"bytes"
	"net/url"
)

// page is what the converter makes of an HTML document.
type page struct {
	text      []byte // Markdown; valid until the converter is used again
	title     string
	lang      string // what the html element says
	truncated bool
}

// converter turns HTML into Markdown in one pass. It is used again and again
// by one goroutine at a time.
type converter struct {
	scan  scanner
	w     writer
	s     stack
	level keepLevel
	limit int

	base      *url.URL
	title     []byte
	lang      string
	inTitle   bool
	firstHead []byte // text of the first heading
	dropAt    int    // index of the element that is being left out, or -1
	dropped   int    // bytes of text left out that another level would keep
	main      span
	article   span
	headingAt int
	banner    banner
	lists     []list
	langs     []string
	tables    []table
	pre       []byte
	preLang   string
	inPre     bool
	refs      []byte
}

// span is a part of the output.
type span struct {
	start, end int
	set        bool
}

// list is an open list; number is 0 for bullets.
type list struct {
	ordered bool
	number  int
	items   int
}

// banner is an open page header: kept only if it holds little but a heading.
type banner struct {
	start   int
	heading bool
	links   int
}

// How much text makes the converter satisfied: with a level, without and with
// lists of links, and with a main element beside which there is more.
const (
	littleText    = 100
	almostNothing = 40
	substance     = 250
)

// convert converts a document that is UTF-8 already.
func (c *converter) convert(doc []byte, base *url.URL, limit int) page {
	c.limit, c.base = limit, base
	var best page
	for level := keepMain; level <= keepAll; level++ {
		dropped := c.run(doc, level)
		text := c.mainText()
		if level == keepMain || len(text) > len(best.text) {
			best = page{text: bytes.Clone(text), title: c.pageTitle(), lang: c.lang, truncated: len(c.w.out) > limit}
		}
		enough := littleText
		if level == keepLists {
			enough = almostNothing
		}
		if len(best.text) >= enough || dropped <= len(best.text) {
			break
		}
	}
	return best
}

// run converts at one level and returns how much text it left out.
func (c *converter) run(doc []byte, level keepLevel) int {
	c.scan = scanner{data: doc, xml: bytes.HasPrefix(doc, []byte("<?xml"))}
	c.w.reset()
	c.s.reset()
	c.level, c.dropAt, c.dropped = level, -1, 0
	c.title, c.firstHead, c.inTitle, c.inPre, c.lang = nil, nil, false, false, ""
	c.main, c.article, c.banner = span{}, span{}, banner{start: -1}
	c.lists, c.langs, c.tables = c.lists[:0], c.langs[:0], c.tables[:0]
	var t token
	for len(c.w.out) <= c.limit {
		c.scan.next(&t)
		switch t.kind {
		case tokenText:
			c.text(&t)
		case tokenOpen:
			c.start(&t)
		case tokenClose:
			c.end(t.tag)
		case tokenEnd:
			if !c.finish() {
				continue // a table was found to be no table; read it again
			}
			return c.dropped
		}
	}
	c.w.inline, c.inPre = 0, false
	c.w.closeMarks()
	return c.dropped
}

// finish closes what the document left open, and reports whether it is read.
func (c *converter) finish() bool {
	for c.s.top() >= 0 {
		if c.pop() {
			return false
		}
	}
	return true
}

// mainText returns the main content if there is some with substance, and
// everything otherwise.
func (c *converter) mainText() []byte {
	out := bytes.TrimSpace(c.w.out)
	if c.level == keepAll {
		return out
	}
	if m := c.cut(c.main); len(m) >= substance || 4*len(m) >= len(out) {
		if len(m) > 0 {
			return m
		}
	}
	if a := c.cut(c.article); len(a) > 0 && 2*len(a) >= len(out) {
		return a
	}
	return out
}

func (c *converter) cut(s span) []byte {
	if !s.set {
		return nil
	}
	end := s.end
	if end < s.start || end > len(c.w.out) {
		end = len(c.w.out)
	}
	return bytes.TrimSpace(c.w.out[s.start:end])
}

func (c *converter) pageTitle() string {
	if t := bytes.TrimSpace(decodeRefs(c.title)); len(t) > 0 {
		return string(t)
	}
	return string(c.firstHead)
}

// text takes characters.
func (c *converter) text(t *token) {
	if c.inTitle {
		c.inTitle = false
		if c.title == nil {
			c.title = t.text
		}
		return
	}
	if c.dropAt >= 0 {
		c.dropped += len(bytes.TrimSpace(t.text))
		return
	}
	b := t.text
	if !t.raw && bytes.IndexByte(b, '&') >= 0 {
		c.refs = appendDecoded(c.refs[:0], b)
		b = c.refs
	}
	if bytes.Contains(b, []byte("\u00a0")) {
		b = bytes.ReplaceAll(b, []byte("\u00a0"), []byte(" "))
	}
	if c.inPre {
		c.pre = append(c.pre, b...)
		return
	}
	if n := len(c.tables); n > 0 && !c.tables[n-1].layout && !c.tables[n-1].inCell && !blank(b) {
		if c.strayText(&c.tables[n-1]) {
			return
		}
	}
	c.w.text(b)
}

func blank(b []byte) bool {
	for _, c := range b {
		if c > ' ' {
			return false
		}
	}
	return true
}

// end takes an end tag.
func (c *converter) end(t tag) {
	if c.s.over[t] > 0 {
		c.s.over[t]--
		return
	}
	if t == tagHTML || t == tagBody || t == tagOther || t == tagTitle {
		c.inTitle = false
		return
	}
	k := c.s.closes(t)
	switch {
	case k < 0 && t == tagP:
		c.blockBreak(t)
		return
	case k < 0 && t == tagBr:
		c.lineBreak()
		return
	case k < 0:
		return
	}
	if top := c.s.top(); !t.isBlock() && k < c.s.open[top].block {
		c.endMisnested(k)
		return
	}
	c.popTo(int(k))
}

// endMisnested ends the effect of an inline element in which blocks are open.
func (c *converter) endMisnested(k int32) {
	e := &c.s.open[k]
	if e.flags&flagMark == 0 || c.dropAt >= 0 {
		return
	}
	e.flags &^= flagMark
	if kind, ok := markOf(e.tag); ok {
		c.w.removeMark(kind)
	}
}

// popTo closes elements until k is closed.
func (c *converter) popTo(k int) {
	for c.s.top() >= k {
		if c.pop() {
			return
		}
	}
}

// pop closes the innermost element and undoes its effects. It reports whether
// the scanner went back to read a table again.
func (c *converter) pop() bool {
	k := c.s.top()
	e := c.s.drop()
	if c.dropAt >= 0 {
		if c.dropAt == k {
			c.dropAt = -1
		}
		return false
	}
	if e.flags != 0 {
		if c.undo(e) {
			return true
		}
	}
	if e.tag.isBlock() && !c.inPre && e.flags&flagTerm == 0 {
		c.blockBreak(e.tag)
	}
	return false
}

// undo ends the effects of an element.
func (c *converter) undo(e element) bool {
	f := e.flags
	if f&flagPre != 0 {
		if c.endPre() {
			return true
		}
	}
	if f&flagMark != 0 {
		c.w.popMark()
	}
	if f&flagTerm != 0 {
		c.w.inline--
		c.w.popMark()
		c.w.block(1, false)
		c.w.gap, c.w.hold = 1, true
	}
	if f&flagHeading != 0 {
		c.endHeading()
	} else if f&flagInline != 0 {
		c.w.inline--
	}
	if f&flagCell != 0 {
		c.endCell()
	}
	if f&flagTable != 0 && c.endTable() {
		return true
	}
	if f&flagPrefix != 0 {
		c.w.closeMarks()
		c.w.popPrefix()
	}
	if f&flagList != 0 {
		c.lists = c.lists[:len(c.lists)-1]
	}
	if f&flagLang != 0 {
		c.langs = c.langs[:len(c.langs)-1]
	}
	if f&flagQuote != 0 {
		c.w.text([]byte{'"'})
	}
	c.undoRegion(f)
	return false
}

// undoRegion ends a part of the page.
func (c *converter) undoRegion(f flag) {
	if f&(flagMain|flagArticle|flagBanner) == 0 {
		return
	}
	c.w.block(2, false)
	if f&flagMain != 0 {
		c.main.end = len(c.w.out)
	}
	if f&flagArticle != 0 {
		c.article.end = len(c.w.out)
	}
	if f&flagBanner != 0 {
		c.endBanner()
	}
}

// endBanner leaves a page header out unless it is the document's own title.
func (c *converter) endBanner() {
	b := c.banner
	c.banner = banner{start: -1}
	size := len(c.w.out) - b.start
	if (b.heading && size < 600 && b.links < 3) || size <= 0 || (c.main.set && c.main.start > b.start) {
		return
	}
	c.dropped += size
	c.w.out = c.w.out[:b.start]
	c.w.gap, c.w.jointAt = 2, -1
}

// release forgets the document, and buffers that are larger than most
// documents need.
func (c *converter) release() {
	const keep = 4 << 20
	c.scan, c.base, c.title, c.firstHead = scanner{}, nil, nil, nil
	if cap(c.w.out) > keep {
		c.w.out = nil
	}
	if cap(c.pre) > keep {
		c.pre = nil
	}
	if cap(c.refs) > keep {
		c.refs = nil
	}
}
