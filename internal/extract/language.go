package extract

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// simple is the text search configuration without stemming or stop words.
const simple = "simple"

// sampleLen is how much text decides about the language.
const sampleLen = 4 << 10

// longestStopWord is how many bytes of a word may count: words of other scripts
// take three for a letter.
const longestStopWord = 24

// fewestKinds is how many different stop words show that a text is prose.
const fewestKinds = 4

// detectLanguage returns the PostgreSQL text search configuration for a
// canonical text, by counting the most frequent short words of each language
// in a sample outside code. share is the part of the words that must be such
// words. What the document says about itself, as in "de-AT", decides between
// two that are close.
func detectLanguage(text, stated string, share float64) string {
	var c wordCounts
	for _, part := range samples(text) {
		c.sample(part)
	}
	words, counts := c.words, c.counts
	if l := statedLanguage(stated); l != languageNone && counts[l] > 0 {
		counts[l] += counts[l]/4 + 1
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
	kinds := fewestKinds
	switch best {
	case english:
		kinds = 2 // identifiers are made of its words, and hardly ever of these
	case greek, armenian, tamil:
		kinds = 2 // every word counts that is in the script
	default:
	}
	if words == 0 || best == languageNone || c.kinds[best] < kinds || counts[best] == counts[second] ||
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

// wordCounts counts the words of samples and the languages they belong to.
type wordCounts struct {
	words  int
	counts [languageCount]int                 // stop words
	kinds  [languageCount]int                 // different ones, up to fewestKinds
	seen   [languageCount][fewestKinds]string // the first different ones
}

// sample counts a sample. Lines of fenced code do not count.
func (c *wordCounts) sample(s string) {
	code := false
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " >"), "```") {
			code = !code
			continue
		}
		if !code {
			c.line(line)
		}
	}
}

// line counts a line without the targets of its links.
func (c *wordCounts) line(line string) {
	for i := 0; i < len(line); {
		if line[i] == '(' && i > 0 && line[i-1] == ']' {
			if end := strings.IndexByte(line[i:], ')'); end > 0 {
				i += end
				continue
			}
		}
		if !isWordByte(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && isWordByte(line[i]) {
			i++
		}
		c.words++
		if i-start <= longestStopWord && utf8.ValidString(line[start:i]) {
			c.word(line[start:i])
		}
	}
}

func (c *wordCounts) word(word string) {
	if hasUpper(word) {
		word = strings.ToLower(word)
	}
	for set := stopWord(word) | otherWord(word); set != 0; set &= set - 1 {
		l := set.lowest()
		c.counts[l]++
		if k := c.kinds[l]; k < fewestKinds && !slices.Contains(c.seen[l][:k], word) {
			c.seen[l][k] = word
			c.kinds[l]++
		}
	}
}

// isWordByte takes identifiers and numbers for one word each.
func isWordByte(c byte) bool {
	return isLetter(c) || c >= utf8.RuneSelf || c == '_' || c >= '0' && c <= '9'
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' || s[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// statedLanguage returns the language of a tag (RFC 5646).
func statedLanguage(tag string) language {
	primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
	if primary == "nb" || primary == "nn" {
		return norwegian
	}
	codes := [...]string{
		"", "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "ru", "hu", "ro", "tr",
		"ar", "hy", "eu", "ca", "el", "hi", "id", "ga", "lt", "ne", "sr", "ta", "yi", "uk", "bg", "pl",
	}
	if primary == "" {
		return languageNone
	}
	return language(max(0, slices.Index(codes[:], primary))) //nolint:gosec // below languageCount
}
