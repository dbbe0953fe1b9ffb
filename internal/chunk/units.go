package chunk

import (
	"strings"
	"unicode/utf8"
)

// class ranks the places where a cut is possible: a lower class is a better place.
type class uint8

const (
	atBlock    class = iota // before a paragraph, a table, a code block
	atItem                  // before a list item or a table row, after a blank line in code
	atSentence              // before a sentence, a nested item, a line of code at the margin
	atLine                  // before any other line
	atWord
	inWord
	nowhere // the lines belong together
)

// spot is a place where a cut is possible.
type spot struct {
	pos int
	at  int    // cost of the section's text before pos
	key uint64 // class and hash of what follows; the smaller, the better
}

// region is a table or a code block, whose pieces after the first carry a label in their context.
type region struct {
	from, to int // a chunk that starts in [from, to) carries the label
	label    string
}

const (
	hashed   = 24 // bytes after a spot that decide its hash
	wordStep = 40 // bytes, at most, between two spots inside a long line
)

// scanner finds the spots of one section.
type scanner struct {
	text    string
	end     int // of the section
	last    int // start of the open unit
	at      int // cost before last
	fine    int // units that cost more are broken at words
	spots   []spot
	regions []region
}

// scan fills spots and regions from the lines of s.
func (sc *scanner) scan(s section) {
	sc.spots, sc.regions = sc.spots[:0], sc.regions[:0]
	sc.last, sc.end, sc.at = s.start(), s.end(), 0
	prev := line{kind: heading, end: s.start()}
	gap := false
	for _, l := range s.lines {
		text := sc.text[l.start:l.end]
		if l.kind == blank || l.kind == code && strings.TrimSpace(text) == "" {
			gap = true
			continue
		}
		if c := sc.before(prev, l, gap); c != nowhere && l.start > s.start() {
			sc.add(l.start, c)
		}
		if l.kind == plain || l.kind == item || l.kind == subitem {
			sc.sentences(l)
		}
		sc.track(prev, l, text)
		prev, gap = l, false
	}
	sc.close(sc.end)
}

// before returns the class of the place between the lines p and l; gap says that blank lines separate them.
func (sc *scanner) before(p, l line, gap bool) class {
	switch p.kind {
	case heading, underline:
		return nowhere
	case tableHead:
		if l.kind == tableHead || l.kind == tableRow {
			return nowhere
		}
	case fence:
		if p.opens {
			return nowhere
		}
	default:
	}
	c := atBlock
	switch l.kind {
	case fence:
		if !l.opens {
			return nowhere
		}
	case code:
		return sc.beforeCode(l, gap)
	case tableRow, item:
		c = atItem
	case subitem:
		c = atSentence
	case plain:
		c = sc.beforeText(p, l, gap)
	default:
	}
	if c < atLine && p.kind == plain && sc.endsWith(p, ":") {
		return atLine // what a colon announces stays with it
	}
	return c
}

func (sc *scanner) beforeCode(l line, gap bool) class {
	margin := sc.text[l.start] != ' ' && sc.text[l.start] != '\t'
	switch {
	case gap && margin:
		return atItem
	case gap, margin && strings.IndexByte(")]}", sc.text[l.start]) < 0:
		return atSentence
	}
	return atLine
}

func (sc *scanner) beforeText(p, l line, gap bool) class {
	indented := sc.text[l.start] == ' ' || sc.text[l.start] == '\t'
	switch {
	case gap && indented:
		return atSentence // continues a list item, or is indented code
	case gap, p.kind == fence, p.kind == rule, p.kind == tableRow, p.kind == tableHead:
		return atBlock
	case sc.endsWith(p, ".!?"):
		return atSentence
	}
	return atLine
}

// endsWith reports whether the last visible character of l is one of chars.
func (sc *scanner) endsWith(l line, chars string) bool {
	for i := l.end - 1; i >= l.start; i-- {
		if c := sc.text[i]; c > ' ' {
			return strings.IndexByte(chars, c) >= 0
		}
	}
	return false
}

// sentences adds a spot before each sentence of l but the first.
func (sc *scanner) sentences(l line) {
	for i := l.start; i < l.end; i++ {
		n := 0 // length of the mark that ends a sentence
		switch c := sc.text[i]; {
		case c > '?' && c < 0xE3:
			continue
		case c == '.' || c == '!' || c == '?':
			n = 1
		case c >= 0xE3:
			if strings.HasPrefix(sc.text[i:], "。") || strings.HasPrefix(sc.text[i:], "！") || strings.HasPrefix(sc.text[i:], "？") {
				n = 3
			}
		}
		if n == 0 {
			continue
		}
		j := i + n
		for j < l.end && strings.IndexByte(`"')]*_`, sc.text[j]) >= 0 {
			j++
		}
		from := j
		for j < l.end && (sc.text[j] == ' ' || sc.text[j] == '\t') {
			j++
		}
		if j >= l.end || sc.text[j] == '\n' || sc.text[j] == '\r' || n == 1 && j == from || sc.text[j]-'a' < 26 {
			continue
		}
		if !utf8.RuneStart(sc.text[j]) {
			continue
		}
		sc.add(j, atSentence)
		i = j - 1
	}
}

// track notes tables and code blocks, so that their later pieces can say what they belong to.
func (sc *scanner) track(p, l line, text string) {
	switch {
	case l.kind == fence && l.opens:
		lang, _, _ := strings.Cut(strings.TrimLeft(strings.TrimSpace(text), "`~ "), " ")
		label := "code"
		if lang != "" {
			label += ": " + truncate(lang, maxTitle)
		}
		sc.regions = append(sc.regions, region{from: l.end, to: sc.end, label: label})
	case l.kind == fence && len(sc.regions) > 0:
		sc.regions[len(sc.regions)-1].to = l.end
	case l.kind == tableHead && p.kind != tableHead:
		sc.regions = append(sc.regions, region{from: l.end, to: l.end, label: strings.TrimSpace(text)})
	case l.kind == tableHead || l.kind == tableRow:
		if len(sc.regions) > 0 {
			sc.regions[len(sc.regions)-1].to = l.end
		}
	}
}

// add ends the open unit at pos, which is a place of class c.
func (sc *scanner) add(pos int, c class) {
	if pos <= sc.last {
		return
	}
	sc.close(pos)
	sc.put(pos, c)
}

func (sc *scanner) put(pos int, c class) {
	h := hash(sc.text[pos:min(pos+hashed, sc.end)])
	sc.spots = append(sc.spots, spot{pos: pos, at: sc.at, key: uint64(c)<<56 | h>>8})
}

// close ends the open unit at pos; a unit that is too long gets spots inside.
func (sc *scanner) close(pos int) {
	c := cost(sc.text[sc.last:pos])
	if c > sc.fine {
		sc.refine(pos)
		c = cost(sc.text[sc.last:pos])
	}
	sc.at += c
	sc.last = pos
}

// refine adds spots between the start of the open unit and end: before words that their own bytes choose, so that
// an edit does not move them; at most wordStep bytes apart.
func (sc *scanner) refine(end int) {
	soft := 0 // the last word start since the last spot
	for i := sc.last + 1; i < end; i++ {
		if !startsRune(sc.text, i) {
			continue
		}
		c, word := inWord, sc.text[i-1] <= ' ' && sc.text[i] > ' '
		chosen := false
		if word {
			c, soft = atWord, i
			chosen = hash(sc.text[i:min(i+16, end)])>>60 < 4
		} else if i-sc.last >= wordStep/2 && soft == 0 {
			chosen = hash(sc.text[i:min(i+8, end)])>>60 == 0
		}
		switch {
		case chosen:
		case i-sc.last < wordStep:
			continue
		case soft > sc.last:
			i, c = soft, atWord
		}
		sc.at += cost(sc.text[sc.last:i])
		sc.last, soft = i, 0
		sc.put(i, c)
	}
}

// startsRune reports whether s can be cut at i without cutting a character. Bytes that belong to no character can be cut.
func startsRune(s string, i int) bool {
	for n := range utf8.UTFMax {
		if utf8.RuneStart(s[i-n]) {
			return n == 0
		}
		if i-n == 0 {
			return true
		}
	}
	return true
}

// hash mixes the bytes of s; equal texts have equal hashes on every machine.
func hash(s string) uint64 {
	const k = 0x9E3779B97F4A7C15
	h := uint64(len(s)) * k
	for len(s) >= 8 {
		h = mix(h ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56))
		s = s[8:]
	}
	for i := range len(s) {
		h = mix(h ^ uint64(s[i]))
	}
	return h
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
