package extract

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// tokenKind says what a scanner's token is.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenText
	tokenOpen
	tokenClose
)

// token is one piece of HTML. Its slices point into the document.
type token struct {
	kind  tokenKind
	tag   tag
	empty bool   // written with a closing slash in an XML document
	raw   bool   // text in which references are not decoded
	text  []byte // the characters of a tokenText
	attrs []byte // what stands between a start tag's name and its ">"
}

// scanner cuts HTML into tags and text, following the tokenization rules of
// https://html.spec.whatwg.org/multipage/parsing.html#tokenization as far as
// text extraction can tell the difference. It never looks at a byte twice
// except after seek, which makes it linear whatever the input.
type scanner struct {
	data []byte
	pos  int
	raw  tag // element whose content is text up to its end tag, or tagOther
	xml  bool
}

// seek continues at an offset that a pos returned after a tag.
func (s *scanner) seek(pos int) {
	s.pos = pos
	s.raw = tagOther
}

// next returns the next token; tokenEnd at the end of the document.
func (s *scanner) next(t *token) {
	if s.raw != tagOther {
		if s.rawText(t) {
			return
		}
	}
	start := s.pos
	for s.pos < len(s.data) {
		i := bytes.IndexByte(s.data[s.pos:], '<')
		if i < 0 {
			s.pos = len(s.data)
			break
		}
		s.pos += i
		if !s.markup() {
			s.pos++ // a "<" that stands for itself
			continue
		}
		if s.pos > start {
			break // the text first; the markup is read by the next call
		}
		if s.tag(t) {
			return
		}
		start = s.pos // a comment or a declaration: nothing to report
	}
	if s.pos > start {
		*t = token{kind: tokenText, text: s.data[start:s.pos]}
		return
	}
	*t = token{kind: tokenEnd}
}

// markup reports whether the "<" at pos begins a tag, comment or declaration.
func (s *scanner) markup() bool {
	if s.pos+1 >= len(s.data) {
		return false
	}
	switch c := s.data[s.pos+1]; {
	case isLetter(c), c == '!', c == '?':
		return true
	case c == '/':
		return s.pos+2 < len(s.data)
	default:
		return false
	}
}

// tag reads the markup at pos and reports whether it is a token.
func (s *scanner) tag(t *token) bool {
	rest := s.data[s.pos:]
	switch rest[1] {
	case '!':
		return s.declaration(t)
	case '?':
		s.skipPast(2)
		return false
	case '/':
		if !isLetter(rest[2]) {
			s.skipPast(2)
			return false
		}
		return s.element(t, tokenClose, 2)
	default:
		return s.element(t, tokenOpen, 1)
	}
}

// declaration reads a comment, a CDATA section or a document type.
func (s *scanner) declaration(t *token) bool {
	rest := s.data[s.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("<!-->")), bytes.HasPrefix(rest, []byte("<!--->")):
		s.skipPast(4)
	case bytes.HasPrefix(rest, []byte("<!--")):
		s.comment()
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		begin := s.pos + len("<![CDATA[")
		end := len(s.data)
		s.pos = begin
		if i := bytes.Index(s.data[begin:], []byte("]]>")); i >= 0 {
			end = begin + i
			s.pos = end + 3
		} else {
			s.pos = end
		}
		*t = token{kind: tokenText, text: s.data[begin:end], raw: true}
		return end > begin
	default:
		s.skipPast(2)
	}
	return false
}

// comment moves past a comment, which ends with "-->" or "--!>".
func (s *scanner) comment() {
	s.pos += 4
	for {
		i := bytes.Index(s.data[s.pos:], []byte("--"))
		if i < 0 {
			s.pos = len(s.data)
			return
		}
		s.pos += i + 2
		for s.pos < len(s.data) && s.data[s.pos] == '-' {
			s.pos++
		}
		if bytes.HasPrefix(s.data[s.pos:], []byte(">")) {
			s.pos++
			return
		}
		if bytes.HasPrefix(s.data[s.pos:], []byte("!>")) {
			s.pos += 2
			return
		}
	}
}

// skipPast moves behind the next ">" from an offset on, or to the end.
func (s *scanner) skipPast(from int) {
	from += s.pos
	if from > len(s.data) {
		s.pos = len(s.data)
		return
	}
	if i := bytes.IndexByte(s.data[from:], '>'); i >= 0 {
		s.pos = from + i + 1
		return
	}
	s.pos = len(s.data)
}

// element reads a start or end tag whose name begins skip bytes after pos.
func (s *scanner) element(t *token, kind tokenKind, skip int) bool {
	d, i := s.data, s.pos+skip
	nameAt := i
	for i < len(d) && d[i] != '>' && d[i] != '/' && !isSpace(d[i]) {
		i++
	}
	name := d[nameAt:i]
	attrsAt := i
	end := s.tagEnd(i)
	if end < 0 { // the document ends inside the tag
		s.pos = len(d)
		return false
	}
	s.pos = end + 1
	*t = token{kind: kind, tag: tagNamed(name)}
	if kind == tokenClose {
		return true
	}
	t.attrs = d[attrsAt:end]
	if n := len(t.attrs); n > 0 && t.attrs[n-1] == '/' {
		t.attrs = t.attrs[:n-1]
		t.empty = s.xml
	}
	if !t.empty && t.tag.isRaw() {
		s.raw = t.tag
	}
	return true
}

// tagEnd returns the offset of the ">" that ends the tag, or -1. Quotes count
// only where an attribute's value begins.
func (s *scanner) tagEnd(i int) int {
	d := s.data
	for i < len(d) {
		switch d[i] {
		case '>':
			return i
		case '=':
			i++
			for i < len(d) && isSpace(d[i]) {
				i++
			}
			if i < len(d) && (d[i] == '"' || d[i] == '\'') {
				j := bytes.IndexByte(d[i+1:], d[i])
				if j < 0 {
					return -1
				}
				i += j + 2
				continue
			}
			for i < len(d) && d[i] != '>' && !isSpace(d[i]) { // unquoted value
				i++
			}
		default:
			i++
		}
	}
	return -1
}

// rawText reads the content of an element such as script, and reports whether
// there was any.
func (s *scanner) rawText(t *token) bool {
	name, start, i := s.raw.String(), s.pos, s.pos
	decoded := s.raw == tagTitle || s.raw == tagTextarea
	s.raw = tagOther
	for {
		j := bytes.Index(s.data[i:], []byte("</"))
		if j < 0 {
			i = len(s.data)
			break
		}
		i += j
		after := i + 2 + len(name)
		if after <= len(s.data) && strings.EqualFold(string(s.data[i+2:after]), name) &&
			(after == len(s.data) || s.data[after] == '>' || s.data[after] == '/' || isSpace(s.data[after])) {
			break
		}
		i += 2
	}
	s.pos = i
	if i == start {
		return false
	}
	*t = token{kind: tokenText, text: s.data[start:i], raw: !decoded}
	return true
}

// attrs walks the attributes of a start tag.
type attrs struct{ raw []byte }

// next returns the name and the value of the next attribute, and whether there
// is one. The value's references are not decoded.
func (a *attrs) next() ([]byte, []byte, bool) {
	d, i := a.raw, 0
	for i < len(d) && (isSpace(d[i]) || d[i] == '/') {
		i++
	}
	if i == len(d) {
		return nil, nil, false
	}
	start := i
	i++ // a name may begin with "="
	for i < len(d) && d[i] != '=' && d[i] != '/' && !isSpace(d[i]) {
		i++
	}
	name := d[start:i]
	for i < len(d) && isSpace(d[i]) {
		i++
	}
	if i == len(d) || d[i] != '=' {
		a.raw = d[i:]
		return name, nil, true
	}
	i++
	for i < len(d) && isSpace(d[i]) {
		i++
	}
	start = i
	if i < len(d) && (d[i] == '"' || d[i] == '\'') {
		quote := d[i]
		start++
		j := bytes.IndexByte(d[start:], quote)
		if j < 0 {
			j = len(d) - start
		}
		value := d[start : start+j]
		a.raw = d[min(start+j+1, len(d)):]
		return name, value, true
	}
	for i < len(d) && !isSpace(d[i]) {
		i++
	}
	a.raw = d[i:]
	return name, d[start:i], true
}

// decodeRefs replaces character references.
func decodeRefs(b []byte) []byte {
	if bytes.IndexByte(b, '&') < 0 {
		return b
	}
	return []byte(html.UnescapeString(string(b)))
}

func isSpace(c byte) bool {
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f')
}

func isLetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }
