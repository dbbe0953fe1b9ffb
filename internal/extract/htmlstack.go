package extract

// flag says what has to be undone when an element ends.
type flag uint16

const (
	flagMark flag = 1 << iota
	flagPrefix
	flagList
	flagInline
	flagHeading
	flagPre
	flagTable
	flagCell
	flagMain
	flagArticle
	flagBanner
	flagDrop
	flagLang
	flagQuote
	flagTerm
)

// maxDepth bounds the stack of open elements. Elements below it have no
// effect of their own; browsers stop at 512.
const maxDepth = 4096

// element is an open element. The links to elements further down make every
// look-up constant, so that no nesting costs more than linear time.
type element struct {
	tag     tag
	flags   flag
	same    int32 // the next open element of the same tag, or -1
	block   int32 // the innermost block, itself included, or -1
	barrier int32 // the innermost table, cell or caption, itself included, or -1
}

// stack holds the open elements.
type stack struct {
	open []element
	last [tagCount]int32 // innermost open element of each tag, or -1
	over [tagCount]int32 // elements left out by maxDepth
}

func (s *stack) reset() {
	s.open = s.open[:0]
	for i := range s.last {
		s.last[i] = -1
		s.over[i] = 0
	}
}

func (s *stack) top() int { return len(s.open) - 1 }

// push opens an element and reports whether there was room for it.
func (s *stack) push(t tag) bool {
	k := int32(len(s.open)) //nolint:gosec // bounded by maxDepth
	if k >= maxDepth {
		s.over[t]++
		return false
	}
	e := element{tag: t, same: s.last[t], block: -1, barrier: -1}
	if k > 0 {
		e.block, e.barrier = s.open[k-1].block, s.open[k-1].barrier
	}
	if t.isBlock() {
		e.block = k
	}
	if t == tagTable || t == tagTd || t == tagTh || t == tagCaption {
		e.barrier = k
	}
	s.open = append(s.open, e)
	s.last[t] = k
	return true
}

// drop removes the innermost element and returns it.
func (s *stack) drop() element {
	e := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.last[e.tag] = e.same
	return e
}

// barrier returns the innermost barrier, or -1.
func (s *stack) barrier() int32 {
	if len(s.open) == 0 {
		return -1
	}
	return s.open[len(s.open)-1].barrier
}

// closes returns the element that an end tag closes, or -1
// (https://html.spec.whatwg.org/multipage/parsing.html#has-an-element-in-scope).
func (s *stack) closes(t tag) int32 {
	k := s.last[t]
	if k < 0 {
		return -1
	}
	switch t {
	case tagTable:
		return k
	case tagTd, tagTh, tagTr, tagTbody, tagThead, tagTfoot, tagCaption:
		if k < s.last[tagTable] {
			return -1
		}
		return k
	default:
		if k < s.barrier() {
			return -1
		}
		return k
	}
}

// implied returns the element that the start of t closes, or -1.
func (s *stack) implied(t tag) int32 {
	table := s.last[tagTable]
	k := int32(-1)
	switch t {
	case tagLi:
		k = s.last[tagLi]
		if k < max(s.last[tagUl], s.last[tagOl], s.barrier()) {
			k = -1
		}
	case tagDt, tagDd:
		k = max(s.last[tagDt], s.last[tagDd])
		if k < max(s.last[tagDl], s.barrier()) {
			k = -1
		}
	case tagTd, tagTh:
		return s.above(max(s.last[tagTd], s.last[tagTh], s.last[tagCaption]), table)
	case tagTr:
		if k = s.above(s.last[tagTr], table); k < 0 {
			k = s.above(s.last[tagCaption], table)
		}
		return k
	case tagTbody, tagThead, tagTfoot:
		if table >= 0 && table < int32(len(s.open))-1 { //nolint:gosec // bounded by maxDepth
			return table + 1
		}
		return -1
	default:
		if t.isHeading() && len(s.open) > 0 {
			if b := s.open[len(s.open)-1].block; b >= 0 && s.open[b].tag.isHeading() {
				k = b
			}
		}
	}
	if p := s.last[tagP]; k < 0 && t.closesP() && p > s.barrier() {
		return p
	}
	return k
}

// above returns k if it lies inside the table.
func (s *stack) above(k, table int32) int32 {
	if k > table {
		return k
	}
	return -1
}

// closesP reports whether the element ends an open paragraph.
func (t tag) closesP() bool {
	switch t {
	case tagTd, tagTh, tagTr, tagTbody, tagThead, tagTfoot, tagCaption, tagBody, tagHTML:
		return false
	default:
		return t.isBlock()
	}
}
