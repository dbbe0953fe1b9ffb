package chunk

import (
	"slices"
	"strings"
)

// kind says what a line of Markdown is.
type kind uint8

const (
	blank     kind = iota
	plain          // paragraph text, quotes, HTML, indented code
	heading        // an ATX heading, or the text of a setext heading
	underline      // the line below the text of a setext heading
	rule           // a thematic break
	item           // the first line of a list item at the left margin
	subitem        // the first line of an indented list item
	tableHead      // the first two lines of a table
	tableRow
	fence // the opening and the closing line of a code block
	code  // a line inside a fenced code block
)

// line is one line with its line break.
type line struct {
	start, end int // bytes; end is past the line break
	kind       kind
	level      uint8 // of a heading
	opens      bool  // a fence that opens a code block
}

// blocks reads text line by line.
type blocks struct {
	text    string
	pos     int
	prev    kind // kind of the line before
	fence   run  // the open fence, if any
	until   int  // where the closing fence of the open block starts
	ticks   []closer
	tildes  []closer
	scanned bool // ticks and tildes are filled
}

// run is a run of one fence character.
type run struct {
	char byte
	n    int
}

// next returns the next line; ok is false at the end of the text.
func (b *blocks) next() (l line, ok bool) {
	if b.pos >= len(b.text) {
		return line{}, false
	}
	l = line{start: b.pos, end: lineEnd(b.text, b.pos)}
	l.kind, l.level, l.opens = b.classify(l)
	b.pos, b.prev = l.end, l.kind
	return l, true
}

func (b *blocks) classify(l line) (k kind, level uint8, opens bool) {
	if b.fence.n > 0 {
		if l.start < b.until {
			return code, 0, false
		}
		b.fence = run{}
		return fence, 0, false
	}
	s := b.text[l.start:l.end]
	indent, tab := indentation(s)
	body := strings.TrimRight(s[indent:], " \t\r\n\v\f")
	if body == "" {
		return blank, 0, false
	}
	if b.opensFence(body, l.end) {
		return fence, 0, true
	}
	if indent > 3 || tab {
		return b.indented(body), 0, false
	}
	if n := atxLevel(body); n > 0 {
		return heading, n, false
	}
	if b.prev == heading && isUnderline(body) {
		return underline, 0, false
	}
	if b.prev == tableHead || b.prev == tableRow {
		if strings.IndexByte(body, '|') >= 0 {
			return b.row(l), 0, false
		}
	}
	if b.prev != plain && b.prev != item && b.prev != subitem {
		if n := b.setextLevel(body, l.end); n > 0 {
			return heading, n, false
		}
	}
	if isRule(body) {
		return rule, 0, false
	}
	if isItem(body) {
		if indent > 1 {
			return subitem, 0, false
		}
		return item, 0, false
	}
	if strings.IndexByte(body, '|') >= 0 && isDelimiterRow(b.lineAt(l.end)) {
		return tableHead, 0, false
	}
	return plain, 0, false
}

// indented classifies a line with at least four columns of indentation: it is never a heading.
func (b *blocks) indented(body string) kind {
	if isItem(body) && b.prev != plain {
		return subitem
	}
	return plain
}

// row tells the delimiter row, which belongs to the head, from the rows below it.
func (b *blocks) row(l line) kind {
	if b.prev == tableHead && isDelimiterRow(strings.TrimSpace(b.text[l.start:l.end])) {
		return tableHead
	}
	return tableRow
}

func (b *blocks) lineAt(pos int) string {
	return strings.TrimSpace(b.text[pos:lineEnd(b.text, pos)])
}

// setextLevel returns the level that the line after pos gives to the one-line paragraph body, or 0
// (CommonMark 0.31 §4.3; a longer paragraph stays text, because rules of dashes below paragraphs are common in plain text).
func (b *blocks) setextLevel(body string, pos int) uint8 {
	if pos >= len(b.text) || len(body) > maxTitle || isItem(body) || body[0] == '>' || body[0] == '|' {
		return 0
	}
	c := b.text[pos]
	if c != '=' && c != '-' && c != ' ' {
		return 0
	}
	next := b.lineAt(pos)
	if !isUnderline(next) || isUnderline(body) || len(b.text)-pos > 3 && strings.HasPrefix(b.text[pos:], "    ") {
		return 0
	}
	if next[0] == '=' {
		return 1
	}
	return 2
}

// opensFence reports whether body opens a code block, and finds its end. A fence without an end is text, so that
// a stray one does not swallow the headings below it.
func (b *blocks) opensFence(body string, after int) bool {
	r := fenceRun(body)
	if r.n < 3 || r.char == '`' && strings.IndexByte(body[r.n:], '`') >= 0 {
		return false
	}
	if !b.scanned {
		b.ticks, b.tildes, b.scanned = closers(b.text, '`', after), closers(b.text, '~', after), true
	}
	list := b.ticks
	if r.char == '~' {
		list = b.tildes
	}
	i, _ := slices.BinarySearchFunc(list, after, func(c closer, pos int) int { return c.start - pos })
	for i < len(list) && list[i].n < r.n {
		i = list[i].longer
	}
	if i == len(list) {
		return false
	}
	b.fence, b.until = r, list[i].start
	return true
}

// closer is a line that consists of a fence alone.
type closer struct {
	start  int
	n      int
	longer int // index of the next line with a longer run, or the number of closers
}

// closers returns the lines after pos that can end a code block fenced with char.
func closers(text string, char byte, pos int) []closer {
	var out []closer
	for pos < len(text) {
		end := lineEnd(text, pos)
		body := strings.Trim(text[pos:end], " \t\r\n")
		if r := fenceRun(body); r.char == char && r.n >= 3 && r.n == len(body) {
			out = append(out, closer{start: pos, n: r.n})
		}
		pos = end
	}
	for i := len(out) - 1; i >= 0; i-- {
		j := i + 1
		for j < len(out) && out[j].n <= out[i].n {
			j = out[j].longer
		}
		out[i].longer = j
	}
	return out
}

func fenceRun(s string) run {
	if s == "" || s[0] != '`' && s[0] != '~' {
		return run{}
	}
	n := 1
	for n < len(s) && s[n] == s[0] {
		n++
	}
	return run{s[0], n}
}

func lineEnd(s string, pos int) int {
	if i := strings.IndexByte(s[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(s)
}

// indentation returns how many blanks s starts with, and whether one of the first four columns is a tab.
func indentation(s string) (n int, tab bool) {
	for n < len(s) && (s[n] == ' ' || s[n] == '\t') {
		tab = tab || s[n] == '\t'
		n++
	}
	return n, tab
}

func atxLevel(s string) uint8 {
	n := 0
	for n < len(s) && s[n] == '#' {
		n++
	}
	if n == 0 || n > 6 || n < len(s) && s[n] != ' ' && s[n] != '\t' {
		return 0
	}
	return uint8(n)
}

func isUnderline(s string) bool {
	if s == "" || s[0] != '=' && s[0] != '-' {
		return false
	}
	return len(s) > 1 && strings.Trim(s, s[:1]) == ""
}

// isRule follows CommonMark 0.31 §4.1.
func isRule(s string) bool {
	c := s[0]
	if c != '-' && c != '*' && c != '_' {
		return false
	}
	n := 0
	for i := range len(s) {
		switch s[i] {
		case c:
			n++
		case ' ', '\t':
		default:
			return false
		}
	}
	return n >= 3
}

// isItem follows CommonMark 0.31 §5.2.
func isItem(s string) bool {
	n := 0
	switch {
	case s[0] == '-' || s[0] == '*' || s[0] == '+':
		n = 1
	case isDigit(s[0]):
		for n < len(s) && n < 9 && isDigit(s[n]) {
			n++
		}
		if n == len(s) || s[n] != '.' && s[n] != ')' {
			return false
		}
		n++
	default:
		return false
	}
	return n < len(s) && (s[n] == ' ' || s[n] == '\t')
}

// isDelimiterRow follows the table extension of GitHub Flavored Markdown 0.29 §4.10.
func isDelimiterRow(s string) bool {
	dash, bar := false, false
	for i := range len(s) {
		switch s[i] {
		case '-':
			dash = true
		case '|':
			bar = true
		case ':', ' ', '\t':
		default:
			return false
		}
	}
	return dash && bar
}
