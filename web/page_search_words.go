package web

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"tributary/web/pages"
)

// askedWord is a word of a question as it is looked for in an answer.
type askedWord struct {
	text string
	// begins: longer words that begin so are meant too. within: it is of a script
	// without spaces between words and stands anywhere.
	begins, within bool
}

// unwanted are the parts of a question that answers must not have.
var unwanted = regexp.MustCompile(`(^|\s)-("[^"]*"?|\S+)`)

// unspaced are the scripts without spaces between words.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// frequent are English words that say nothing of what a text is about.
const frequent = " a about an and are as at be but by can do does for from has have how i if in is it its me my not of on or that the their there they this to was we what when where which who why will with you "

// plurals and endings are what forms of one word may differ by; "" is between two blanks.
const (
	plurals = "  s es "
	endings = "  s es e ed d er ers ing ings ion ions ly en n em y ies ied al "
)

// wordsAsked are the words of a question that its answers may have.
func wordsAsked(query string) []askedWord {
	var list []askedWord
	query = strings.ToLower(unwanted.ReplaceAllString(query, " "))
	for _, field := range strings.FieldsFunc(query, func(r rune) bool { return !wordRune(r) && r != '*' }) {
		begins := strings.HasSuffix(field, "*")
		for _, word := range strings.FieldsFunc(field, func(r rune) bool { return r == '*' }) {
			within := strings.ContainsFunc(word, unspaced)
			if !within && strings.Contains(frequent, " "+word+" ") {
				continue
			}
			list = append(list, askedWord{text: word, begins: begins, within: within})
		}
	}
	return list
}

// meant reports whether a word of a text, in lower case, is one that was asked
// for: itself, or another form of it as far as its beginning tells.
func (a askedWord) meant(word string) bool {
	if a.text == word || a.begins && strings.HasPrefix(word, a.text) {
		return true
	}
	x, y := []rune(a.text), []rune(word)
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	before, after := string(x[same:]), string(y[same:])
	switch {
	case same < 3:
		return false
	case same == 3:
		return strings.Contains(plurals, " "+before+" ") && strings.Contains(plurals, " "+after+" ")
	default:
		return strings.Contains(endings, " "+before+" ") && strings.Contains(endings, " "+after+" ")
	}
}

// marked cuts a text into parts, of which those are marked that were asked for.
// The parts together are the text.
func marked(text string, asked []askedWord) []pages.Part {
	var list []pages.Part
	add := func(part string, mark bool) {
		if part == "" {
			return
		}
		if n := len(list); n > 0 && list[n-1].Mark == mark {
			list[n-1].Text += part
			return
		}
		list = append(list, pages.Part{Text: part, Mark: mark})
	}
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return !wordRune(r) })
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			_, size := utf8.DecodeRuneInString(text)
			add(text[:size], false)
			text = text[size:]
			continue
		}
		markWord(text[:end], asked, add)
		text = text[end:]
	}
	return list
}

// markWord adds a run of letters: whole, or of a script without spaces what of
// it was asked for.
func markWord(word string, asked []askedWord, add func(part string, mark bool)) {
	low := strings.ToLower(word)
	for _, a := range asked {
		if !a.within && a.meant(low) {
			add(word, true)
			return
		}
	}
	// Where a letter in lower case has another length, places in low are none in word.
	for len(low) == len(word) && word != "" {
		at, size := -1, 0
		for _, a := range asked {
			if i := strings.Index(low, a.text); a.within && i >= 0 && (at < 0 || i < at) {
				at, size = i, len(a.text)
			}
		}
		if at < 0 {
			break
		}
		add(word[:at], false)
		add(word[at:at+size], true)
		word, low = word[at+size:], low[at+size:]
	}
	add(word, false)
}

// Bounds of an excerpt, in runes: all of it, and what stands before the first mark.
const (
	excerptRunes  = 1200
	excerptBefore = 300
)

// excerpt leaves of a long text what is around the first mark.
func excerpt(parts []pages.Part) []pages.Part {
	total, first := 0, -1
	for _, p := range parts {
		if p.Mark && first < 0 {
			first = total
		}
		total += utf8.RuneCountInString(p.Text)
	}
	if total <= excerptRunes {
		return parts
	}
	from := max(0, min(first-excerptBefore, total-excerptRunes))
	to := from + excerptRunes
	var out []pages.Part
	if from > 0 {
		out = append(out, pages.Part{Text: "… "})
	}
	at := 0
	for _, p := range parts {
		runes := []rune(p.Text)
		low, high := max(from-at, 0), min(to-at, len(runes))
		if low < high {
			out = append(out, pages.Part{Text: string(runes[low:high]), Mark: p.Mark})
		}
		at += len(runes)
	}
	if to < total {
		out = append(out, pages.Part{Text: " …"})
	}
	return out
}
