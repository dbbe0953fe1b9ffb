package oauthflow

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"tributary/internal/secret"
)

// maxText is the greatest length of a provider's text that is kept, in characters (OA-33).
const maxText = 200

// redactedText stands for what may be a token inside a provider's text.
const redactedText = secret.Redacted

// CleanText makes an error or a description of a provider safe to show, log and store: characters of RFC 6749
// §4.1.2.1 only, at most 200, without the given secrets and without anything that looks like a token. It is text,
// never a link.
func CleanText(s string, secrets ...secret.Text) string {
	if len(s) > 64<<10 {
		s = s[:64<<10]
	}
	for _, sec := range secrets {
		if v := sec.Reveal(); len(v) >= 4 {
			s = strings.ReplaceAll(strings.ReplaceAll(s, v, redactedText), url.QueryEscape(v), redactedText)
		}
	}
	words := strings.Fields(cleanASCII(s, 0))
	for i, w := range words {
		if opaque(w) {
			words[i] = redactedText
		}
	}
	return cut(strings.Join(words, " "), maxText)
}

// opaque reports whether a word may be a token: long, with letters and digits.
func opaque(w string) bool {
	return len(w) >= 24 && strings.ContainsAny(w, "0123456789") && strings.IndexFunc(w, unicode.IsLetter) >= 0
}

// cleanASCII keeps %x20-21, %x23-5B and %x5D-7E, of lines a blank, and of terminal sequences nothing. limit 0 is none.
func cleanASCII(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r > '~' || r == '"' || r == '\\':
			return -1
		}
		return r
	}, stripEscapes(s))
	if limit > 0 {
		s = cut(s, limit)
	}
	return s
}

// CleanName makes the name of an account or an organisation safe to show: letters of all scripts stay, while
// controls, line ends, terminal sequences, text directions and invisible characters go. It has at most 200 characters.
func CleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, stripEscapes(s))
	return cut(strings.Join(strings.Fields(s), " "), maxText)
}

// stripEscapes removes terminal sequences (ECMA-48): ESC [ or U+009B with parameters up to the letter that ends them,
// and ESC ] with its text up to BEL or ESC \. A lone ESC goes too.
func stripEscapes(s string) string {
	if !strings.ContainsAny(s, "\x1b\u009b") {
		return s
	}
	var b strings.Builder
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		switch {
		case runes[i] == 0x9b:
			i = skipUntil(runes, i+1, func(r rune) bool { return r >= '@' && r <= '~' })
		case runes[i] == 0x1b && i+1 < len(runes) && runes[i+1] == '[':
			i = skipUntil(runes, i+2, func(r rune) bool { return r >= '@' && r <= '~' })
		case runes[i] == 0x1b && i+1 < len(runes) && runes[i+1] == ']':
			i = skipUntil(runes, i+2, func(r rune) bool { return r == 0x07 || r == '\\' })
		case runes[i] != 0x1b:
			b.WriteRune(runes[i])
		}
	}
	return b.String()
}

// skipUntil returns the index of the first rune from i on that ends a sequence, or that of the last rune.
func skipUntil(runes []rune, i int, end func(rune) bool) int {
	for ; i < len(runes)-1 && !end(runes[i]); i++ {
	}
	return i
}

// cut returns the first n characters.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// isScope reports whether s is one scope (RFC 6749 §3.3) of at most 200 characters.
func isScope(s string) bool {
	return s != "" && len(s) <= maxText && !strings.Contains(s, " ") && cleanASCII(s, 0) == s
}

// parseScopes splits the scopes of an answer. What is no scope, stands twice, or comes after the first 200, is dropped.
func parseScopes(s, separator string) []string {
	var out []string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, separator) {
		part = strings.TrimSpace(part)
		if isScope(part) && !seen[part] && len(out) < 200 {
			seen[part] = true
			out = append(out, part)
		}
	}
	return out
}
