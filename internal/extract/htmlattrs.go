package extract

import (
	"bytes"
	"strconv"
)

// examine reads the attributes that matter for t.
func examine(t tag, raw []byte) pageMark {
	m := pageMark{drop: dropByTag(t)}
	a := attrs{raw}
	for {
		name, value, ok := a.next()
		if !ok {
			return m
		}
		if len(name) > 11 {
			continue
		}
		var buf [12]byte
		lower := buf[:copy(buf[:], name)]
		for i, c := range lower {
			if c >= 'A' && c <= 'Z' {
				lower[i] = c + 'a' - 'A'
			}
		}
		m.attribute(t, string(lower), value)
	}
}

// attribute takes one attribute into account.
func (m *pageMark) attribute(t tag, name string, value []byte) {
	switch name {
	case "class":
		m.class(t, value)
	case "id":
		if t.droppable() && len(value) > 2 {
			m.drop = max(m.drop, dropByTokens(value))
		}
	case "role":
		m.role(t, value)
	case "hidden":
		m.hidden = true
	case "aria-hidden":
		if string(value) == "true" && !t.isBlock() {
			m.drop = max(m.drop, dropPage)
		}
	case "style":
		m.hidden = m.hidden || hidesByStyle(value)
	case "href":
		if m.href == nil { // the first of two counts
			m.href = value
		}
	case "alt", "alttext":
		if m.alt == nil {
			m.alt = value
		}
	case "colspan":
		m.colspan = atoi(value)
	case "rowspan":
		m.rowspan = atoi(value)
	case "start", "value":
		m.start = atoi(value)
	case "summary":
		m.layout = m.layout || isAdmonition(value)
	default:
	}
}

func (m *pageMark) role(t tag, value []byte) {
	switch string(value) {
	case "main":
		m.main = true
	case "presentation", "none":
		m.layout = t == tagTable
	case "tabpanel":
		m.panel = true
	default:
		if t.droppable() {
			m.drop = max(m.drop, dropByRole(value))
		}
	}
}

// class looks for navigation, code languages and tables that only arrange.
func (m *pageMark) class(t tag, value []byte) {
	if len(value) < 3 {
		return // what syntax highlighters write, thousands a page
	}
	if t.droppable() {
		kind := dropByTokens(value)
		if kind == dropNothing && t == tagAside && keepsAside(value) {
			m.drop = dropNothing
		}
		m.drop = max(m.drop, kind)
	}
	switch t {
	case tagPre, tagCode, tagDiv, tagFigure, tagTable:
		for list := value; len(list) > 0; {
			var word []byte
			word, list = cutWord(list)
			if lang := classLanguage(word); lang != "" {
				m.lang = lang
			}
			if t == tagTable && arranges(word) {
				m.layout = true
			}
		}
	case tagDt:
		for list := value; len(list) > 0; {
			var word []byte
			word, list = cutWord(list)
			if string(word) == "sig" {
				m.sig = true
			}
		}
	default:
	}
}

// droppable reports whether class, id or role can make an element navigation.
func (t tag) droppable() bool {
	switch t {
	case tagHTML, tagBody, tagMain, tagArticle, tagH1, tagH2, tagH3, tagH4, tagH5, tagH6:
		return false
	default:
		return true
	}
}

// keepsAside reports whether an aside is part of the text, as Docutils writes
// footnotes and admonitions.
func keepsAside(class []byte) bool {
	for len(class) > 0 {
		var word []byte
		word, class = cutWord(class)
		switch string(word) {
		case "footnote", "footnote-list", "citation-list", "admonition", "note", "tip", "warning", "callout":
			return true
		default:
		}
	}
	return false
}

// arranges reports whether a class says that a table holds no data.
func arranges(word []byte) bool {
	switch string(word) {
	case "highlighttable", "rouge-table", "codehilitetable", "simplelist", "footnote", "citation", "field-list",
		"option-list", "layout":
		return true
	default:
		return false
	}
}

// isAdmonition knows the summaries that DocBook's stylesheets give to tables
// around notes.
func isAdmonition(summary []byte) bool {
	switch string(summary) {
	case "Note", "Tip", "Warning", "Caution", "Important":
		return true
	default:
		return false
	}
}

// classLanguage returns the programming language that a class names.
func classLanguage(word []byte) string {
	for _, prefix := range []string{"language-", "lang-", "highlight-source-", "highlight-text-", "highlight-", "src-"} {
		if rest, ok := bytes.CutPrefix(word, []byte(prefix)); ok {
			return languageName(string(rest))
		}
	}
	return ""
}

// hidesByStyle reports whether a style attribute hides the element.
func hidesByStyle(style []byte) bool {
	for declaration := range bytes.SplitSeq(style, []byte{';'}) {
		name, value, ok := bytes.Cut(declaration, []byte{':'})
		if ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("display")) {
			value, _, _ = bytes.Cut(value, []byte{'!'})
			if bytes.EqualFold(bytes.TrimSpace(value), []byte("none")) {
				return true
			}
		}
	}
	return false
}

// atoi returns a small positive number, or 0.
func atoi(b []byte) int {
	n, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || n < 0 || n > 1_000_000 {
		return 0
	}
	return n
}

// documentLanguage returns the value of the lang attribute.
func documentLanguage(raw []byte) string {
	a := attrs{raw}
	for {
		name, value, ok := a.next()
		if !ok {
			return ""
		}
		if string(name) == "lang" || string(name) == "xml:lang" {
			return string(value)
		}
	}
}
