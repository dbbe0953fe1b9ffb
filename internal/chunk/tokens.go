package chunk

import "unicode/utf8"

// costs are in 1/256 of a token, so that summing the costs of pieces loses nothing to rounding.
const (
	token          = 256
	wordFree       = 6   // ASCII letters that one token usually covers
	wordSlope      = 44  // cost of each letter beyond wordFree
	caseCost       = 110 // cost of a lower-to-upper change inside a word, as in camelCase
	digitsPerToken = 3   // cl100k splits numbers into groups of three digits
	punctSlope     = 80  // cost of each further character of a run of punctuation
	repeatSlope    = 16  // cost of each repetition of one character, as in a rule of dashes
	latinCost      = 150 // a letter with a diacritic, Greek, Cyrillic
	indicCost      = 330 // scripts of which the vocabulary knows single letters at most
	cjkCost        = 330 // ideographs, kana, hangul
	wideCost       = 760 // emoji and everything beyond the basic plane
)

// EstimateTokens returns an estimate of how many tokens s has: deterministic, and tuned to lie at or slightly
// above the count of OpenAI's cl100k_base encoding for English prose and for source code. It is an estimate for every model.
// The estimate of a text is never above the sum of the estimates of its pieces, where each begins a line or with a visible character.
func EstimateTokens(s string) int {
	return (cost(s) + token - 1) / token
}

// cost walks the runs of s that a byte-pair encoding treats as one word.
func cost(s string) int {
	total := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isLetter(c):
			n, w := wordCost(s[i:])
			total += w
			i += n
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			n, w := blankCost(s, i)
			total += w
			i += n
		case c >= utf8.RuneSelf:
			n, w := runeCost(s[i:])
			total += w
			i += n
		case isDigit(c):
			start := i
			for i < len(s) && isDigit(s[i]) {
				i++
			}
			total += (i - start + digitsPerToken - 1) / digitsPerToken * token
			if start == 0 || s[start-1] == ' ' {
				total += token // a number never shares a token with the space before it
			}
		default:
			n, w := punctCost(s[i:])
			total += w
			i += n
		}
	}
	return total
}

// wordCost covers the letters at the start of s.
func wordCost(s string) (n, w int) {
	w = token
	for n = 1; n < len(s); n++ {
		c := s[n]
		if c-'a' < 26 {
			continue
		}
		if c-'A' >= 26 {
			break
		}
		if s[n-1] >= 'a' {
			w += caseCost
		} else {
			w += wordSlope
		}
	}
	if n > wordFree {
		w += (n - wordFree) * wordSlope
	}
	return n, w
}

// blankCost covers the blanks at s[i:]: one space belongs to the word after it, more or a line break is a token.
func blankCost(s string, i int) (n, w int) {
	j, lines := i, 0
	for j < len(s) && (s[j] == ' ' || s[j] == '\t' || s[j] == '\n' || s[j] == '\r') {
		if s[j] == '\n' {
			lines++
		}
		j++
	}
	switch {
	case j-i == 1 && lines == 0:
		return 1, 0
	case lines > 0 && s[j-1] != '\n' && s[j-1] != '\r':
		w = token // the indentation after the line break
		if j >= 2 && s[j-2] == '\n' {
			w = token / 4
		}
	}
	if lines == 0 || i == 0 || !isPunct(s[i-1]) {
		w += token
	} else {
		w += token / 2
	}
	return j - i, w + (j-i)*2
}

// punctCost covers the run of punctuation at the start of s.
func punctCost(s string) (n, w int) {
	w = token
	for n = 1; n < len(s) && isPunct(s[n]); n++ {
		if s[n] == s[n-1] {
			w += repeatSlope
		} else {
			w += punctSlope
		}
	}
	return n, w
}

// runeCost covers the run of characters outside ASCII at the start of s.
func runeCost(s string) (n, w int) {
	for n < len(s) && s[n] >= utf8.RuneSelf {
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r < 0x0530:
			w += latinCost
		case r < 0x1E00:
			w += indicCost
		case r < 0x2000:
			w += latinCost
		case r < 0x2100:
			w += token // dashes, quotes, ellipses
		case r < 0x10000:
			w += cjkCost
		default:
			w += wideCost
		}
		n += size
	}
	return n, w
}

func isLetter(c byte) bool { return c|0x20-'a' < 26 }
func isDigit(c byte) bool  { return c-'0' < 10 }

// isPunct reports whether c is ASCII and neither letter, digit nor blank. Control characters count as punctuation.
func isPunct(c byte) bool {
	return c < utf8.RuneSelf && !isLetter(c) && !isDigit(c) && c != ' ' && c != '\t' && c != '\n' && c != '\r'
}
