package extract

import "bytes"

// table is an open table. Data tables become pipe tables; a table that turns
// out to arrange blocks is read again from its start and becomes blocks, at
// most once, and never inside another data table, so that reading stays
// linear.
type table struct {
	layout  bool
	compact bool // of one column: the paragraphs of a row belong together
	inRow   bool
	inCell  bool
	header  bool // the row is a header
	filled  bool // the row has text
	rows    int
	cols    int // columns of the first row
	maxCols int
	col     int
	rowAt   int // end of the output before the row
	lineAt  int // where the row's first "|" stands
	cellAt  int
	colspan int
	rowspan int
	headEnd int
	lineEnd int   // end of the line below the header
	spans   []int // rows that the cell above still covers, for each column
	used    uint16
	snap    snapshot
}

// snapshot is the converter's state at the start of a table.
type snapshot struct {
	depth, pos, out, gap, inline, marks, prefix, lists, langs, dropped int
	hold                                                               bool
	used                                                               uint16
	flags                                                              flag
}

const (
	maxColspan = 32
	maxSpans   = 64
)

// openTable begins a table.
func (c *converter) openTable(e *element, m *pageMark) {
	if c.w.inline > 0 {
		c.evidence()
		return
	}
	e.flags |= flagTable
	w := &c.w
	c.tables = append(c.tables, table{layout: m.layout, snap: snapshot{
		depth: len(c.s.open), pos: c.scan.pos, out: len(w.out), gap: w.gap, hold: w.hold, inline: w.inline,
		marks: len(w.marks), prefix: len(w.prefix), used: w.usedMask(), lists: len(c.lists), langs: len(c.langs),
		dropped: c.dropped, flags: e.flags,
	}})
}

// evidence is called for what a pipe table cannot hold. Inside a data table it
// goes back to the table's start and reports true; the caller then has nothing
// left to do.
func (c *converter) evidence() bool {
	n := len(c.tables)
	if n == 0 || c.tables[n-1].layout {
		return false
	}
	c.goBack(false)
	return true
}

// goBack reads the innermost table again, as one that arranges blocks; compact
// if its rows are blocks of their own.
func (c *converter) goBack(compact bool) {
	t := &c.tables[len(c.tables)-1]
	s := t.snap
	for len(c.s.open) > s.depth {
		c.s.drop()
	}
	if len(c.s.open) < s.depth {
		c.s.push(tagTable)
		c.s.open[c.s.top()].flags = s.flags
	}
	c.scan.seek(s.pos)
	w := &c.w
	w.out, w.gap, w.hold, w.inline = w.out[:s.out], s.gap, s.hold, s.inline
	w.space, w.cell, w.heading, w.jointAt = false, false, 0, -1
	w.marks = w.marks[:min(s.marks, len(w.marks))]
	for i := range w.marks {
		w.marks[i].open = false
	}
	w.owed = len(w.marks)
	w.prefix = w.prefix[:s.prefix]
	w.setUsed(s.used)
	c.lists, c.langs = c.lists[:s.lists], c.langs[:s.langs]
	c.dropAt, c.dropped, c.inPre, c.inTitle = -1, s.dropped, false, false
	if c.main.set && c.main.start >= s.out && c.s.last[tagMain] < 0 {
		c.main = span{}
	}
	if c.article.set && c.article.start >= s.out {
		c.article = span{}
	}
	if c.banner.start >= s.out && c.s.last[tagHeader] < 0 {
		c.banner.start = -1
	}
	*t = table{layout: true, compact: compact, snap: s}
}

// strayText is called for text in a data table but outside its cells.
func (c *converter) strayText(t *table) bool {
	return (t.rows > 0 || t.inRow) && c.evidence()
}

// openCaption begins a caption, which stands before the rows.
func (c *converter) openCaption() {
	if n := len(c.tables); n > 0 && (c.tables[n-1].rows > 0 || c.tables[n-1].inRow) {
		c.evidence()
	}
}

// openRow ends the row before.
func (c *converter) openRow() {
	if n := len(c.tables); n > 0 && !c.tables[n-1].layout {
		c.endRow(&c.tables[n-1])
	}
}

// openCell begins a cell.
func (c *converter) openCell(e *element, m *pageMark) {
	w, n := &c.w, len(c.tables)
	if n == 0 || w.inline > 0 {
		return
	}
	t := &c.tables[n-1]
	if t.layout {
		if e.tag == tagTh && w.pushMark(markStrong, nil) {
			e.flags |= flagMark
		}
		return
	}
	if !t.inRow {
		c.beginRow(t)
	}
	t.header = t.header && (e.tag == tagTh || c.s.last[tagThead] > c.s.last[tagTable])
	c.fillSpans(t)
	w.out = append(w.out, ' ')
	t.cellAt, t.colspan, t.rowspan, t.inCell = len(w.out), m.colspan, m.rowspan, true
	w.gap, w.space, w.cell = 0, false, true
	w.inline++
	e.flags |= flagCell
}

// fillSpans writes empty cells below cells that span rows.
func (c *converter) fillSpans(t *table) {
	for t.col < len(t.spans) && t.spans[t.col] > 0 {
		t.spans[t.col]--
		t.col++
		c.w.out = append(c.w.out, " |"...)
	}
}

// endCell ends a cell and fills the columns that it spans.
func (c *converter) endCell() {
	w, t := &c.w, &c.tables[len(c.tables)-1]
	w.closeMarks()
	w.inline--
	w.cell, w.space, t.inCell = false, false, false
	if len(w.out) == t.cellAt {
		w.out = append(w.out, '|')
	} else {
		t.filled = true
		w.out = append(w.out, " |"...)
	}
	w.jointAt = -1
	for i := range min(max(t.colspan, 1), maxColspan) {
		if i > 0 {
			w.out = append(w.out, " |"...)
		}
		if t.col < maxSpans && t.rowspan > 1 {
			for len(t.spans) <= t.col {
				t.spans = append(t.spans, 0)
			}
			t.spans[t.col] = t.rowspan - 1
		}
		t.col++
	}
}

func (c *converter) beginRow(t *table) {
	w := &c.w
	t.used, t.rowAt = w.usedMask(), len(w.out)
	w.closeMarks()
	if t.rows > 0 {
		w.gap = 1
	} else {
		w.block(2, false)
	}
	w.newline()
	t.lineAt = len(w.out)
	w.out = append(w.out, '|')
	t.inRow, t.filled, t.header, t.col = true, false, true, 0
}

// endRow ends a row. The first one gets the header's line, and an empty header
// above it where it is none, as GitHub Flavored Markdown demands one.
func (c *converter) endRow(t *table) {
	if !t.inRow {
		return
	}
	w := &c.w
	t.inRow = false
	c.fillSpans(t)
	if !t.filled {
		w.out = w.out[:t.rowAt]
		w.setUsed(t.used)
		if t.rows == 0 {
			w.gap = 2
		}
		return
	}
	t.rows++
	t.maxCols = max(t.maxCols, t.col)
	if t.rows > 1 {
		return
	}
	t.cols = t.col
	row := ""
	if !t.header {
		row = string(w.out[t.lineAt:])
		w.out = append(w.out[:t.lineAt], '|')
		w.repeat(" |", t.cols)
	}
	t.headEnd = len(w.out)
	w.gap = 1
	w.newline()
	w.out = append(w.out, '|')
	w.repeat("---|", t.cols)
	t.lineEnd = len(w.out)
	if !t.header {
		w.gap = 1
		w.newline()
		w.out = append(w.out, row...)
	}
}

// endTable ends a table, and reports whether it is read again.
func (c *converter) endTable() bool {
	t := &c.tables[len(c.tables)-1]
	if !t.layout {
		c.endRow(t)
		switch {
		case t.rows == 1 && c.level < keepAll && isLinkRow(c.w.out[t.lineEnd:]):
			c.dropped += len(c.w.out) - t.snap.out
			c.w.out, c.w.gap = c.w.out[:t.snap.out], t.snap.gap
			c.w.setUsed(t.snap.used)
			t.rows, t.cols, t.maxCols = 0, 0, 0
		case t.rows == 1, t.rows > 0 && t.maxCols <= 1:
			c.goBack(true)
			return true
		}
		if t.maxCols > t.cols {
			c.widen(t)
		}
	}
	c.tables = c.tables[:len(c.tables)-1]
	return false
}

// isLinkRow reports whether a table's only row is a menu: three links or more
// and hardly anything else.
func isLinkRow(row []byte) bool {
	links, other := 0, 0
	for len(row) > 0 {
		before, rest, ok := bytes.Cut(row, []byte{'['})
		other += len(bytes.Trim(before, " |\n-"))
		if !ok {
			break
		}
		text, after, closed := bytes.Cut(rest, []byte("]("))
		if !closed || len(text) > 40 {
			return false
		}
		links++
		_, row, _ = bytes.Cut(after, []byte{')'})
	}
	return links >= 3 && other <= 40
}

// widen adds columns to the header of a table with longer rows below.
func (c *converter) widen(t *table) {
	w := &c.w
	tail := string(w.out[t.lineEnd:])
	line := string(w.out[t.headEnd:t.lineEnd])
	w.out = w.out[:t.headEnd]
	w.repeat(" |", t.maxCols-t.cols)
	w.out = append(w.out, line...)
	w.repeat("---|", t.maxCols-t.cols)
	w.out = append(w.out, tail...)
}

func (w *writer) repeat(s string, n int) {
	for range n {
		w.out = append(w.out, s...)
	}
}

// usedMask returns which prefix segments are used, for setUsed.
func (w *writer) usedMask() uint16 {
	mask := uint16(0)
	for i, s := range w.prefix {
		if s.used {
			mask |= 1 << i
		}
	}
	return mask
}

func (w *writer) setUsed(mask uint16) {
	for i := range w.prefix {
		w.prefix[i].used = mask&(1<<i) != 0
	}
}
