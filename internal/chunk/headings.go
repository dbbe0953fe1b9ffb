package chunk

import (
	"strings"
	"unicode/utf8"
)

// maxTitle bounds the bytes of one heading in a path.
const maxTitle = 200

// headRoom is how many bytes of headings without a body are merged forward into the next section.
const headRoom = 800

// section is a run of lines under one heading path.
type section struct {
	lines []line   // valid until the callback returns
	path  []string // titles, outermost first
}

func (s section) start() int { return s.lines[0].start }
func (s section) end() int   { return s.lines[len(s.lines)-1].end }

// sections calls yield for each section of text in order; together they are the whole text. A heading without a
// body belongs to the section that follows it.
func sections(text string, yield func(section)) {
	b := blocks{text: text}
	var (
		lines  []line
		titles outline
		body   bool // lines has text that is not a heading
	)
	flush := func() {
		if len(lines) > 0 {
			yield(section{lines: lines, path: titles.path})
		}
		lines, body = lines[:0], false
	}
	for l, ok := b.next(); ok; l, ok = b.next() {
		switch l.kind {
		case heading:
			if body || len(lines) > 0 && l.start-lines[0].start > headRoom {
				flush()
			}
			titles.push(l, text)
		case blank, underline:
		default:
			body = true
		}
		lines = append(lines, l)
	}
	flush()
}

// outline is the stack of headings above the current line.
type outline struct {
	path   []string // never changed in place: sections keep it
	levels []uint8
}

func (o *outline) push(l line, text string) {
	level := l.level
	keep := len(o.levels)
	for keep > 0 && o.levels[keep-1] >= level {
		keep--
	}
	o.levels = append(o.levels[:keep], level)
	path := make([]string, 0, keep+1)
	o.path = append(append(path, o.path[:keep]...), title(text[l.start:l.end]))
}

// title returns the words of a heading line, without the marks of Markdown.
func title(s string) string {
	s = strings.TrimLeft(strings.TrimSpace(s), "#")
	s = strings.TrimSpace(s)
	if t := strings.TrimRight(s, "#"); len(t) < len(s) && (t == "" || t[len(t)-1] == ' ' || t[len(t)-1] == '\t') {
		s = strings.TrimSpace(t)
	}
	s = truncate(unmark(s), maxTitle)
	return strings.Join(strings.Fields(s), " ")
}

// unmark removes link targets, emphasis, code marks and backslash escapes.
func unmark(s string) string {
	if !strings.ContainsAny(s, "[]*`\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && isPunct(s[i+1]):
			i++
			b.WriteByte(s[i])
		case c == '*' || c == '`' || c == '[':
		case c == ']':
			if i+1 < len(s) && s[i+1] == '(' {
				if n := strings.IndexByte(s[i:], ')'); n > 0 {
					i += n
				}
			}
		default:
			b.WriteByte(c)
		}
	}
	if strings.TrimSpace(b.String()) == "" {
		return s
	}
	return b.String()
}

// truncate cuts s to at most n bytes, not inside a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
