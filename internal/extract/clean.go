package extract

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Clean makes a string fit for storing, hashing and cutting by offsets: valid
// UTF-8 in Normalization Form C with LF line ends, without U+0000, control
// characters other than tab and line feed, byte order marks and characters
// that have no width and no meaning in running text. What is not valid UTF-8
// becomes U+FFFD. Clean(Clean(s)) == Clean(s).
func Clean(s string) string {
	if isClean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			b.WriteByte(c)
			i++
			continue
		}
		if c < utf8.RuneSelf {
			switch c {
			case '\r':
				if i+1 == len(s) || s[i+1] != '\n' {
					b.WriteByte('\n')
				}
			case '\f', '\v':
				b.WriteByte('\n')
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == 0x85 || r == 0x2028 || r == 0x2029:
			b.WriteByte('\n')
		case isInvisible(r):
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// isClean reports whether Clean would return the string itself.
func isClean(s string) bool {
	i := 0
	for i < len(s) && (s[i] >= ' ' && s[i] < 0x7f || s[i] == '\n' || s[i] == '\t') {
		i++
	}
	if i == len(s) {
		return true
	}
	if s[i] < utf8.RuneSelf {
		return false
	}
	for j, r := range s[i:] {
		if r >= ' ' && r < 0x7f || r == '\n' || r == '\t' {
			continue
		}
		if r < 0xa0 || r == 0x2028 || r == 0x2029 || isInvisible(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i+j:]); size == 1 {
				return false
			}
		}
	}
	return norm.NFC.IsNormalString(s[max(0, i-1):])
}

// isInvisible reports whether the character is left out of stored text:
// C1 controls, soft hyphens, zero-width spaces, marks that reorder text on
// screen and tag characters, with which text can be hidden from a reader.
// Joiners stay, as Indic and Arabic words and emoji need them.
func isInvisible(r rune) bool {
	switch {
	case r < 0x80:
		return false
	case r < 0xa0, r == 0xad:
		return true
	case r < 0x200b:
		return r == 0x180e
	case r == 0x200b, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef:
		return true
	case r >= 0xe0000 && r <= 0xe007f:
		return true
	default:
		return false
	}
}

// CleanField makes a title, a name or a metadata value fit for storing: like
// Clean, on one line, white space collapsed, and at most max bytes long.
func CleanField(s string, maxBytes int) string {
	s = Clean(s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxBytes {
		return s
	}
	s = s[:max(maxBytes, 0)]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && size == 1 {
			s = s[:len(s)-1]
			continue
		}
		break
	}
	return strings.TrimSpace(s)
}
