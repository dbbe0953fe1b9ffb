package extract

import (
	"strings"
	"unicode/utf8"
)

// simple is the text search configuration without stemming or stop words.
const simple = "simple"

// sampleLen is how much text decides about the language.
const sampleLen = 4 << 10

// detectLanguage returns the PostgreSQL text search configuration for a
// canonical text, by counting the most frequent short words of each language
// in a sample outside code. share is the part of the words that must be such
// words.
func detectLanguage(text string, share float64) string {
	var counts [languageCount]int
	words := 0
	for _, part := range samples(text) {
		words += countStopWords(part, &counts)
	}
	best, second := languageNone, languageNone
	for l := language(1); l < languageCount; l++ {
		switch {
		case counts[l] > counts[best]:
			best, second = l, best
		case counts[l] > counts[second]:
			second = l
		}
	}
	if words == 0 || best == languageNone || counts[best] < 2 || counts[best] == counts[second] ||
		float64(counts[best]) < share*float64(words) {
		return simple
	}
	return best.String()
}

// samples returns the beginning and the middle of a text.
func samples(text string) []string {
	if len(text) <= sampleLen {
		return []string{text}
	}
	middle := len(text) / 2
	return []string{text[:sampleLen/2], text[middle:min(middle+sampleLen/2, len(text))]}
}

// countStopWords counts the words of a sample and the languages they belong
// to. Lines of fenced code do not count.
func countStopWords(s string, counts *[languageCount]int) int {
	words := 0
	code := false
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " >"), "```") {
			code = !code
			continue
		}
		if !code {
			words += countLine(line, counts)
		}
	}
	return words
}

func countLine(line string, counts *[languageCount]int) int {
	words := 0
	for i := 0; i < len(line); {
		if !isWordByte(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && isWordByte(line[i]) {
			i++
		}
		words++
		if i-start > 12 || !utf8.ValidString(line[start:i]) {
			continue
		}
		word := line[start:i]
		if hasUpper(word) {
			word = strings.ToLower(word)
		}
		for set := stopWord(word); set != 0; set &= set - 1 {
			counts[set.lowest()]++
		}
	}
	return words
}

func isWordByte(c byte) bool { return isLetter(c) || c >= utf8.RuneSelf }

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' || s[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
