package extract

import (
	"path"
	"strings"
)

// plainText turns text into canonical text: its lines without trailing space,
// as it has no markup.
func plainText(s string) string { return strings.Trim(trimLines(s), "\n") }

// sourceText turns source code into a fenced block. Text that is only data in
// no language stays as it is.
func sourceText(s, lang string) string {
	s = strings.Trim(trimLines(s), "\n")
	if s == "" || lang == "plaintext" {
		return s
	}
	fence := strings.Repeat("`", max(3, longestRun([]byte(s), '`')+1))
	return fence + lang + "\n" + s + "\n" + fence
}

// trimLines removes white space at the ends of lines.
func trimLines(s string) string {
	if !strings.Contains(s, " \n") && !strings.Contains(s, "\t\n") {
		return strings.TrimRight(s, " \t")
	}
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.SplitSeq(s, "\n") {
		b.WriteString(strings.TrimRight(line, " \t"))
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// fileTitle returns the last element of a path.
func fileTitle(name string) string {
	base := path.Base(strings.ReplaceAll(name, "\\", "/"))
	if base == "." || base == "/" {
		return ""
	}
	return base
}

// capLines breaks lines that are longer than limit. Where it breaks is decided
// by the text around the place, so that an edit far before it moves nothing. It
// returns the text and the number of breaks.
func capLines(s string, limit int) (string, int) {
	broken := 0
	if len(s) <= limit || !hasLongLine(s, limit) {
		return s, 0
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/limit + 1)
	for first := true; ; first = false {
		line, rest, more := strings.Cut(s, "\n")
		if !first {
			b.WriteByte('\n')
		}
		for len(line) > limit {
			cut := breakPoint(line, limit)
			b.WriteString(line[:cut])
			b.WriteByte('\n')
			line = strings.TrimLeft(line[cut:], " \t")
			broken++
		}
		b.WriteString(line)
		if !more {
			return b.String(), broken
		}
		s = rest
	}
}

func hasLongLine(s string, limit int) bool {
	for len(s) > limit {
		i := strings.LastIndexByte(s[:limit+1], '\n')
		if i < 0 {
			return true
		}
		s = s[i+1:]
	}
	return false
}

// breakPoint returns where to break a line: behind the space, in the second
// half of what fits, whose surroundings have the smallest hash.
func breakPoint(line string, limit int) int {
	best, at := uint32(1<<32-1), 0
	for i := limit / 2; i < limit; i++ {
		if line[i-1] != ' ' && line[i-1] != '\t' {
			continue
		}
		hash := uint32(2166136261)
		for _, c := range []byte(line[max(0, i-16):i]) {
			hash = (hash ^ uint32(c)) * 16777619
		}
		if hash < best {
			best, at = hash, i
		}
	}
	if at > 0 {
		return at
	}
	at = limit
	for at > limit-4 && line[at]&0xc0 == 0x80 {
		at--
	}
	return at
}
