package extract

import "bytes"

// start takes a start tag.
func (c *converter) start(t *token) {
	if t.tag == tagOther {
		return
	}
	if k := c.s.implied(t.tag); k >= 0 {
		pos := c.scan.pos
		c.popTo(int(k))
		if c.scan.pos != pos {
			return // gone back to an earlier place
		}
	}
	if t.tag == tagHTML && len(t.attrs) > 0 {
		c.lang = documentLanguage(t.attrs)
	}
	if t.tag == tagTitle {
		c.inTitle = c.dropAt < 0
		return
	}
	m := pageMark{drop: dropByTag(t.tag)}
	if len(t.attrs) > 0 && c.dropAt < 0 && (!c.inPre || t.tag == tagA || t.tag == tagSpan || t.tag == tagButton || t.tag == tagCode) {
		m = examine(t.tag, t.attrs)
	}
	if t.tag.isVoid() {
		if c.dropAt < 0 {
			c.void(t.tag, &m)
		}
		return
	}
	if t.tag.isBlock() && c.dropAt < 0 && !c.inPre {
		c.blockBreak(t.tag)
	}
	if !c.s.push(t.tag) {
		return
	}
	c.open(t.tag, &m)
	if t.empty && c.s.top() >= 0 && c.s.open[c.s.top()].tag == t.tag {
		c.pop()
	}
}

// open begins the effects of an element that was pushed.
func (c *converter) open(t tag, m *pageMark) {
	if c.dropAt >= 0 {
		return
	}
	k := c.s.top()
	if m.hidden && !m.panel && t.droppable() {
		m.drop = max(m.drop, dropPage)
	}
	if c.level.drops(m.drop) {
		c.dropAt = k
		if t == tagMath && len(m.alt) > 0 {
			c.w.text(decodeRefs(m.alt))
		}
		return
	}
	if c.inPre {
		c.openInPre(t, m)
		return
	}
	e := &c.s.open[k]
	if m.lang != "" && t != tagPre && t != tagXmp {
		c.langs = append(c.langs, m.lang)
		e.flags |= flagLang
	}
	if kind, ok := markOf(t); ok {
		c.openMark(e, kind, m)
		return
	}
	c.region(e, m)
	switch t {
	case tagH1, tagH2, tagH3, tagH4, tagH5, tagH6:
		c.openHeading(e)
	case tagUl, tagOl:
		c.lists = append(c.lists, list{ordered: t == tagOl, number: max(m.start, 1)})
		e.flags |= flagList
	case tagLi:
		c.openItem(e, m)
	case tagBlockquote:
		if c.w.inline == 0 && c.w.pushQuote() {
			e.flags |= flagPrefix
		}
	case tagDt:
		c.openTerm(e, m)
	case tagPre, tagXmp, tagPlaintext:
		c.inPre, c.pre, c.preLang = true, c.pre[:0], m.lang
		e.flags |= flagPre
	case tagQ:
		c.w.text([]byte{'"'})
		e.flags |= flagQuote
	case tagSup:
		c.superscript()
	case tagTable:
		c.openTable(e, m)
	case tagCaption:
		c.openCaption()
	case tagTr:
		c.openRow()
	case tagTd, tagTh:
		c.openCell(e, m)
	default:
	}
}

// openInPre takes an element inside verbatim text.
func (c *converter) openInPre(t tag, m *pageMark) {
	if m.lang != "" && c.preLang == "" {
		c.preLang = m.lang
	}
	if t.isBlock() && len(c.pre) > 0 && c.pre[len(c.pre)-1] != '\n' {
		c.pre = append(c.pre, '\n')
	}
}

// markOf returns the inline markup of an element.
func markOf(t tag) (markKind, bool) {
	switch t {
	case tagStrong, tagB:
		return markStrong, true
	case tagEm, tagI:
		return markEm, true
	case tagS, tagDel:
		return markStrike, true
	case tagCode, tagTt, tagKbd, tagSamp:
		return markCode, true
	case tagA:
		return markLink, true
	default:
		return 0, false
	}
}

// openMark begins inline markup where it carries meaning: a heading and a
// term are distinguished already.
func (c *converter) openMark(e *element, kind markKind, m *pageMark) {
	var href []byte
	if kind == markLink {
		c.banner.links++
		if href = c.link(m.href); href == nil {
			return
		}
	}
	if c.inHeading() && kind != markCode {
		return
	}
	if c.w.pushMark(kind, href) {
		e.flags |= flagMark
	}
}

func (c *converter) inHeading() bool {
	for t := tagH1; t <= tagH6; t++ {
		if c.s.last[t] >= 0 {
			return true
		}
	}
	return false
}

// region notes where the parts of the page are.
func (c *converter) region(e *element, m *pageMark) {
	switch {
	case e.tag == tagMain || m.main:
		if !c.main.set {
			c.main = span{start: len(c.w.out), end: -1, set: true}
			e.flags |= flagMain
		}
	case e.tag == tagArticle:
		if !c.article.set {
			c.article = span{start: len(c.w.out), set: true}
		}
		c.article.end = -1
		if c.s.open[len(c.s.open)-1].same < 0 {
			e.flags |= flagArticle
		}
	case e.tag == tagHeader && !c.inContent():
		if c.level < keepAll && c.banner.start < 0 {
			c.banner = banner{start: len(c.w.out)}
			e.flags |= flagBanner
		}
	case e.tag == tagFooter && !c.inContent() && c.s.last[tagBlockquote] < 0:
		if c.level < keepAll {
			c.dropAt = c.s.top()
		}
	}
}

// inContent reports whether an article or the main content is open.
func (c *converter) inContent() bool {
	return c.s.last[tagMain] >= 0 || c.s.last[tagArticle] >= 0 || c.s.last[tagSection] >= 0 ||
		(c.main.set && c.main.end < 0)
}

func (c *converter) openHeading(e *element) {
	if c.w.inline > 0 {
		c.evidence()
		return
	}
	if a := c.s.last[tagA]; a >= 0 && c.s.open[a].flags&flagMark != 0 {
		c.s.open[a].flags &^= flagMark // the link stands around the heading
		c.w.removeMark(markLink)
	}
	c.w.heading = int(e.tag-tagH1) + 1
	c.w.inline++
	c.headingAt = len(c.w.out)
	c.banner.heading = true
	e.flags |= flagHeading
}

// endHeading removes the mark that links to the heading itself.
func (c *converter) endHeading() {
	w := &c.w
	w.inline--
	w.closeMarks()
	if w.heading > 0 {
		w.heading = 0 // it was empty
		return
	}
	line := w.out[c.headingAt:]
	for _, mark := range []string{"¶", "§", "🔗", "\uf0c1", " #"} {
		line = bytes.TrimRight(bytes.TrimSuffix(line, []byte(mark)), " ")
	}
	w.out = w.out[:c.headingAt+len(line)]
	w.jointAt = -1
	if c.firstHead == nil {
		c.firstHead = bytes.Clone(bytes.TrimLeft(bytes.TrimSpace(line), "#>- "))
	}
}

func (c *converter) openItem(e *element, m *pageMark) {
	number, first := 0, true
	if n := len(c.lists); n > 0 {
		l := &c.lists[n-1]
		first = l.items == 0
		l.items++
		if l.ordered {
			if m.start > 0 {
				l.number = m.start
			}
			number = l.number
			l.number++
		}
	}
	if c.w.inline > 0 {
		if !first && len(c.w.out) > 0 && c.w.out[len(c.w.out)-1] > ' ' {
			c.w.out = append(c.w.out, ';')
		}
		return
	}
	if !first {
		c.w.gap = min(c.w.gap, 1) // items stand close together
	}
	if c.w.pushItem(number) {
		e.flags |= flagPrefix
	}
}

// openTerm begins the term of a definition: one line, in bold, or as code
// where it is a signature.
func (c *converter) openTerm(e *element, m *pageMark) {
	if c.w.inline > 0 {
		return
	}
	if c.w.hold {
		c.w.gap = 1 // a second term of the same definition
	}
	kind := markStrong
	if m.sig {
		kind = markCode
	}
	c.w.inline++
	if c.w.pushMark(kind, nil) {
		e.flags |= flagTerm
		return
	}
	e.flags |= flagInline
}

// superscript keeps 2<sup>10</sup> from becoming 210.
func (c *converter) superscript() {
	w := &c.w
	next := c.scan.data[c.scan.pos:]
	if w.space || w.gap > 0 || len(w.out) == 0 || len(next) == 0 || len(c.s.open) == 0 {
		return
	}
	if last := w.out[len(w.out)-1]; last >= '0' && last <= '9' && next[0] >= '0' && next[0] <= '9' {
		w.text([]byte{'^'})
	}
}

// void takes an element that has no content.
func (c *converter) void(t tag, m *pageMark) {
	switch t {
	case tagBr:
		c.lineBreak()
	case tagHr:
		c.blockBreak(t)
	case tagImg:
		if !c.level.drops(m.drop) && len(m.alt) > 0 && !c.inPre && !isAdmonition(bytes.Trim(m.alt, "[]")) {
			c.w.text(decodeRefs(m.alt))
		}
	case tagBase:
		c.setBase(m.href)
	default:
	}
}

// lineBreak takes a br element; two in a row are a new paragraph.
func (c *converter) lineBreak() {
	w := &c.w
	switch {
	case c.dropAt >= 0:
	case c.inPre:
		c.pre = append(c.pre, '\n')
	case w.inline > 0:
		w.space = true
	case w.gap > 0:
		w.block(2, false)
	case len(w.out) > 0:
		w.gap, w.space = 1, false
	}
}

// blockBreak ends the block before or after an element.
func (c *converter) blockBreak(t tag) {
	if c.dropAt >= 0 {
		return
	}
	w := &c.w
	switch t {
	case tagUl, tagOl:
		n := 2
		if c.s.last[tagLi] >= 0 && len(w.prefix) > 0 {
			n = 1
		}
		w.block(n, false)
	case tagTr:
		n := 1
		if k := len(c.tables); k > 0 && c.tables[k-1].layout {
			n = 2
		}
		w.block(n, false)
	case tagLi, tagDd, tagTbody, tagThead, tagTfoot:
		w.block(1, false)
	case tagTd, tagTh:
		w.block(1, true)
	case tagP, tagDiv, tagSection, tagFigure, tagAddress:
		n := 2
		if k := len(c.tables); k > 0 && c.tables[k-1].compact {
			n = 1
		}
		w.block(n, true)
	default:
		w.block(2, false)
	}
}

// endPre writes verbatim text.
func (c *converter) endPre() bool {
	c.inPre = false
	body := bytes.TrimPrefix(bytes.ReplaceAll(c.pre, []byte("\r\n"), []byte{'\n'}), []byte{'\n'})
	body = bytes.TrimRight(body, " \t\n")
	for {
		i := bytes.IndexByte(body, '\n')
		if i < 0 || !blank(body[:i]) {
			break
		}
		body = body[i+1:]
	}
	if blank(body) {
		return false
	}
	if c.w.inline > 0 {
		if bytes.IndexByte(body, '\n') >= 0 && c.evidence() {
			return true
		}
		ok := c.w.pushMark(markCode, nil)
		c.w.text(body)
		if ok {
			c.w.popMark()
		}
		return false
	}
	lang := c.preLang
	if lang == "" && len(c.langs) > 0 {
		lang = c.langs[len(c.langs)-1]
	}
	c.w.codeBlock(body, lang)
	return false
}
