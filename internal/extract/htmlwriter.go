package extract

import (
	"bytes"
	"strconv"
)

// markKind is a kind of inline markup.
type markKind uint8

const (
	markStrong markKind = iota
	markEm
	markStrike
	markCode
	markLink
)

// mark is an inline element that is open. Its markup is written with the
// first character inside it, and again after a block boundary.
type mark struct {
	kind  markKind
	open  bool
	start int // where its opening markup stands in out
	href  []byte
}

// segment is what a list item or a quotation puts at the start of lines.
type segment struct {
	first, rest string
	used        bool
}

const (
	maxMarks  = 8
	maxPrefix = 12
)

// writer builds Markdown from a sequence of text, inline marks and block
// boundaries. What separates two pieces is owed, not written, until text
// follows, so that empty elements leave no trace.
type writer struct {
	out     []byte
	gap     int  // line ends owed: 0, 1, or 2 for a blank line
	space   bool // a space is owed
	hold    bool // the next soft block boundary starts no new paragraph
	inline  int  // above 0, block boundaries are spaces
	cell    bool // inside a table cell
	heading int  // level of a heading whose markup is owed
	owed    int  // marks whose opening markup is owed
	depth   int  // prefix segments of the last line written
	prefix  []segment
	marks   []mark
	joint   mark // the mark that was closed last, with start
	jointAt int  // length of out right after it was closed, or -1
}

func (w *writer) reset() {
	*w = writer{out: w.out[:0], gap: 2, prefix: w.prefix[:0], marks: w.marks[:0], jointAt: -1}
}

// block ends the current block. The next text starts n lines below; a soft
// boundary does not separate a definition from its term.
func (w *writer) block(n int, soft bool) {
	if w.inline > 0 {
		w.space = true
		return
	}
	if len(w.marks) > w.owed {
		w.closeMarks()
	}
	w.space = false
	if k := len(w.prefix); k > 0 && !w.prefix[k-1].used {
		return // nothing stands behind the item's marker yet
	}
	if soft && w.hold {
		n = 1
	}
	w.gap = max(w.gap, n)
}

// text appends characters with white space collapsed.
func (w *writer) text(b []byte) {
	i, n := 0, len(b)
	for {
		for i < n && b[i] <= ' ' {
			w.space = true
			i++
		}
		if i == n {
			return
		}
		j := i + 1
		for j < n && (b[j] > ' ' || (b[j] == ' ' && j+1 < n && b[j+1] > ' ')) {
			j++
		}
		w.words(b[i:j])
		i = j
	}
}

// words appends text in which single spaces separate words.
func (w *writer) words(b []byte) {
	if w.gap > 0 || w.owed > 0 || w.heading > 0 {
		w.open(b)
	} else if w.space && w.out[len(w.out)-1] != ' ' {
		w.out = append(w.out, ' ')
	}
	w.space = false
	if w.cell && bytes.IndexByte(b, '|') >= 0 {
		for _, c := range b {
			if c == '|' {
				w.out = append(w.out, '\\')
			}
			w.out = append(w.out, c)
		}
		return
	}
	w.out = append(w.out, b...)
}

// open writes everything that is owed before the text b.
func (w *writer) open(b []byte) {
	fresh := w.gap > 0
	if fresh {
		w.newline()
	}
	if w.heading > 0 {
		w.out = append(append(w.out, "######"[:w.heading]...), ' ')
		w.heading, w.space, fresh = 0, false, false
	}
	if w.space && len(w.out) > 0 && w.out[len(w.out)-1] != ' ' && w.out[len(w.out)-1] != '\n' {
		w.out = append(w.out, ' ')
		w.space = false
	}
	if w.owed > 0 {
		w.openMarks()
		return
	}
	if fresh && changesLine(b) {
		w.out = append(w.out, '\\')
	}
}

// newline writes the line ends that are owed and the prefix of the new line.
func (w *writer) newline() {
	if len(w.out) > 0 {
		w.out = append(w.out, '\n')
		if w.gap > 1 {
			w.linePrefix(min(w.depth, len(w.prefix)), true)
			w.out = append(w.out, '\n')
		}
	}
	w.linePrefix(len(w.prefix), false)
	w.depth = len(w.prefix)
	w.gap, w.space, w.hold = 0, false, false
}

// linePrefix writes the first n segments; a blank line shows no item marker
// and ends without a space.
func (w *writer) linePrefix(n int, blank bool) {
	start := len(w.out)
	for i := range w.prefix[:n] {
		s := &w.prefix[i]
		switch {
		case s.used:
			w.out = append(w.out, s.rest...)
		case blank:
			n = i
		default:
			w.out = append(w.out, s.first...)
			s.used = true
		}
		if n == i {
			break
		}
	}
	if blank {
		for len(w.out) > start && w.out[len(w.out)-1] == ' ' {
			w.out = w.out[:len(w.out)-1]
		}
	}
}

// changesLine reports whether a line that begins with b would be read as a
// heading, an underline or a code fence.
func changesLine(b []byte) bool {
	c := b[0]
	run := 1
	for run < len(b) && b[run] == c {
		run++
	}
	switch c {
	case '#':
		return run <= 6 && (run == len(b) || b[run] == ' ')
	case '=', '-':
		return run == len(b)
	case '`', '~':
		return run >= 3
	default:
		return false
	}
}

// pushMark opens inline markup and reports whether it did: not where the same
// kind is open already, nor where it would be noise.
func (w *writer) pushMark(kind markKind, href []byte) bool {
	if len(w.marks) >= maxMarks {
		return false
	}
	for i := range w.marks {
		if k := w.marks[i].kind; k == kind || k == markCode {
			return false
		}
	}
	w.marks = append(w.marks, mark{kind: kind, href: href})
	w.owed++
	return true
}

// popMark closes the innermost inline markup.
func (w *writer) popMark() {
	k := len(w.marks) - 1
	if k < 0 {
		return
	}
	m := w.marks[k]
	w.marks = w.marks[:k]
	if !m.open {
		w.owed--
		return
	}
	w.closeMark(m)
}

// removeMark closes one kind of markup that is not necessarily the innermost.
func (w *writer) removeMark(kind markKind) {
	for i := range w.marks {
		if w.marks[i].kind == kind {
			w.closeMarks()
			w.marks = append(w.marks[:i], w.marks[i+1:]...)
			w.owed--
			return
		}
	}
}

// closeMarks closes all open markup; it opens again with the next text.
func (w *writer) closeMarks() {
	for i := len(w.marks) - 1; i >= 0; i-- {
		if w.marks[i].open {
			w.closeMark(w.marks[i])
			w.marks[i].open = false
			w.owed++
		}
	}
}

func (w *writer) openMarks() {
	for i := range w.marks {
		m := &w.marks[i]
		if m.open {
			continue
		}
		m.open = true
		if w.jointAt == len(w.out) && w.joint.kind == m.kind && m.kind != markLink {
			m.start = w.joint.start // two adjacent spans of one kind are one
			w.out = w.out[:len(w.out)-len(m.kind.token())]
			continue
		}
		m.start = len(w.out)
		w.out = append(w.out, m.kind.token()...)
	}
	w.owed = 0
}

// closeMark writes the closing markup of an open mark.
func (w *writer) closeMark(m mark) {
	w.jointAt = -1
	switch m.kind {
	case markLink:
		if isLinkSign(w.out[m.start+1:]) {
			w.out = w.out[:m.start]
			return
		}
		if bytes.Equal(w.out[m.start+1:], m.href) {
			w.out = append(w.out[:m.start], w.out[m.start+1:]...)
			return
		}
		w.out = append(append(append(w.out, "]("...), m.href...), ')')
	case markCode:
		if bytes.IndexByte(w.out[m.start+1:], '`') >= 0 {
			w.fenceCode(m.start)
			return
		}
		fallthrough
	default:
		w.out = append(w.out, m.kind.token()...)
		w.joint, w.jointAt = m, len(w.out)
	}
}

// isLinkSign reports whether a link's text only says that it is one.
func isLinkSign(text []byte) bool {
	switch string(text) {
	case "¶", "§", "#", "🔗", "\uf0c1":
		return true
	default:
		return false
	}
}

// fenceCode rewrites a code span that contains backticks
// (https://spec.commonmark.org/0.31.2/#code-spans).
func (w *writer) fenceCode(start int) {
	body := bytes.Clone(w.out[start+1:])
	fence := bytes.Repeat([]byte("`"), longestRun(body, '`')+1)
	w.out = append(append(w.out[:start], fence...), ' ')
	w.out = append(append(append(w.out, body...), ' '), fence...)
}

// token is the opening markup, which for all but links closes too.
func (k markKind) token() string {
	switch k {
	case markStrong:
		return "**"
	case markEm:
		return "*"
	case markStrike:
		return "~~"
	case markCode:
		return "`"
	default:
		return "["
	}
}

// codeBlock writes a fenced block with the lines as they are.
func (w *writer) codeBlock(body []byte, lang string) {
	w.block(2, false)
	w.newline()
	fence := bytes.Repeat([]byte("`"), max(3, longestRun(body, '`')+1))
	w.out = append(append(w.out, fence...), lang...)
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		w.out = append(w.out, '\n')
		w.linePrefix(len(w.prefix), len(line) == 0)
		w.out = append(w.out, line...)
	}
	w.out = append(w.out, '\n')
	w.linePrefix(len(w.prefix), false)
	w.out = append(w.out, fence...)
	w.block(2, false)
}

// pushItem begins a list item; number 0 is a bullet.
func (w *writer) pushItem(number int) bool {
	if len(w.prefix) >= maxPrefix {
		return false
	}
	marker := "- "
	if number > 0 {
		marker = strconv.Itoa(number) + ". "
	}
	w.prefix = append(w.prefix, segment{first: marker, rest: "          "[:min(len(marker), 10)]})
	return true
}

// pushQuote begins a quotation.
func (w *writer) pushQuote() bool {
	if len(w.prefix) >= maxPrefix {
		return false
	}
	w.prefix = append(w.prefix, segment{first: "> ", rest: "> ", used: true})
	return true
}

func (w *writer) popPrefix() { w.prefix = w.prefix[:len(w.prefix)-1] }

func longestRun(b []byte, c byte) int {
	longest, run := 0, 0
	for _, x := range b {
		if x != c {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
