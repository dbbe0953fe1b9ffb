package extract

import "strings"

// markdownText turns Markdown into canonical text: without front matter and
// without comments outside code. It returns the title that the front matter or
// the first heading of the first level states.
func markdownText(s string) (string, string) {
	s, title := cutFrontMatter(s)
	s = dropComments(trimLines(s))
	if title == "" {
		title = firstHeading(s)
	}
	return strings.Trim(s, "\n"), title
}

// cutFrontMatter removes a block of YAML or TOML at the start, and returns what
// is left and the title that the block states.
func cutFrontMatter(s string) (string, string) {
	var fence, title string
	switch {
	case strings.HasPrefix(s, "---\n"):
		fence = "---"
	case strings.HasPrefix(s, "+++\n"):
		fence = "+++"
	default:
		return s, ""
	}
	body := s[4:]
	for pos := 0; pos < len(body) && pos < 64<<10; {
		line, _, _ := strings.Cut(body[pos:], "\n")
		next := min(pos+len(line)+1, len(body))
		if strings.TrimRight(line, " \t") == fence || fence == "---" && line == "..." {
			return strings.TrimLeft(body[next:], "\n"), title
		}
		if pos == 0 && !strings.ContainsAny(line, ":=#") {
			return s, "" // a thematic break
		}
		for _, key := range []string{"title:", "title ="} {
			if value, ok := strings.CutPrefix(line, key); ok && title == "" {
				title = strings.Trim(strings.TrimSpace(value), `"'`)
			}
		}
		pos = next
	}
	return s, ""
}

// codeFence returns the fence that a line opens, or "".
func codeFence(line string) string {
	trimmed := strings.TrimLeft(line, " ")
	if len(line)-len(trimmed) > 3 {
		return ""
	}
	for _, c := range []string{"`", "~"} {
		if n := len(trimmed) - len(strings.TrimLeft(trimmed, c)); n >= 3 && (c == "~" || !strings.Contains(trimmed[n:], "`")) {
			return trimmed[:n]
		}
	}
	return ""
}

// closesFence reports whether a line closes a fenced block.
func closesFence(line, fence string) bool {
	trimmed := strings.TrimSpace(line)
	return strings.HasPrefix(trimmed, fence) && strings.Trim(trimmed, fence[:1]) == ""
}

// firstHeading returns the text of the first heading of level one, or else of
// the first heading.
func firstHeading(s string) string {
	fence, before, other := "", "", ""
	for line := range strings.SplitSeq(s, "\n") {
		if fence != "" {
			if closesFence(line, fence) {
				fence = ""
			}
			continue
		}
		if fence = codeFence(line); fence != "" {
			before = ""
			continue
		}
		if before != "" && isUnderline(line, '=') {
			return before
		}
		level := len(line) - len(strings.TrimLeft(line, "#"))
		if level > 0 && level <= 6 && strings.HasPrefix(line[level:], " ") {
			heading := strings.TrimRight(strings.Trim(line[level:], " "), "# ")
			if level == 1 && heading != "" {
				return heading
			}
			if other == "" {
				other = heading
			}
		}
		before = strings.TrimSpace(line)
	}
	return other
}

func isUnderline(line string, c byte) bool {
	line = strings.TrimSpace(line)
	return len(line) > 1 && strings.Trim(line, string(c)) == ""
}

// dropComments removes HTML comments that stand outside code blocks. One that
// is not closed is text.
func dropComments(s string) string {
	if !strings.Contains(s, "<!--") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	fence := ""
	for len(s) > 0 {
		line, rest, more := strings.Cut(s, "\n")
		if fence != "" {
			if closesFence(line, fence) {
				fence = ""
			}
		} else if fence = codeFence(line); fence == "" {
			if i := strings.Index(line, "<!--"); i >= 0 && !insideCode(line[:i]) {
				if before, after, ok := cutComment(s, i); ok {
					b.WriteString(before)
					s = after
					continue
				}
				b.WriteString(s)
				return b.String()
			}
		}
		b.WriteString(line)
		if more {
			b.WriteByte('\n')
		}
		s = rest
	}
	return b.String()
}

// insideCode reports whether a line's start leaves a code span open.
func insideCode(start string) bool {
	return strings.Count(start, "`")%2 == 1 || strings.HasPrefix(start, "    ")
}

// cutComment returns the text before and after the comment at i, without an
// empty line where the comment stood alone.
func cutComment(s string, i int) (string, string, bool) {
	end := strings.Index(s[i+4:], "-->")
	if end < 0 {
		return "", "", false
	}
	before, after := s[:i], s[i+4+end+3:]
	if strings.TrimSpace(before) == "" && strings.HasPrefix(after, "\n") {
		return "", after[1:], true
	}
	return before, after, true
}
