package extract

import (
	"fmt"
	"strings"
	"unicode"
)

// assemblePages joins the pages into the text of r, with the outline's titles
// as headings, and notes where each page begins.
func assemblePages(doc pdfDoc, cfg Config, r *Result) {
	pages := make([][]string, len(doc.pages))
	for i, text := range doc.pages {
		pages[i] = pageLines(text)
	}
	dropRunningLines(pages)
	byPage := make(map[int][]bookmark, len(doc.outline))
	for _, b := range doc.outline {
		if b.page >= 0 && b.title != "" {
			byPage[b.page] = append(byPage[b.page], b)
		}
	}
	var b strings.Builder
	broken, cut := 0, false
	for i, lines := range pages {
		if len(byPage) == 0 {
			lines = withNumberedHeadings(lines)
		} else {
			lines = withHeadings(lines, byPage[i])
		}
		text := strings.Trim(joinLines(lines), "\n")
		text, n := capLines(text, cfg.MaxLine)
		broken += n
		if text == "" {
			r.Pages = append(r.Pages, Page{Number: i + 1, Start: b.Len()})
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		if b.Len()+len(text) > cfg.MaxText {
			cut = true
			break
		}
		r.Pages = append(r.Pages, Page{Number: i + 1, Start: b.Len()})
		b.WriteString(text)
	}
	r.Text = strings.TrimRight(b.String(), "\n")
	for i := range r.Pages {
		r.Pages[i].Start = min(r.Pages[i].Start, len(r.Text))
	}
	if broken > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("Lines longer than %d bytes were broken in %d places.", cfg.MaxLine, broken))
	}
	if cut {
		r.Warnings = append(r.Warnings, fmt.Sprintf("The text was cut off after %d bytes.", cfg.MaxText))
	}
	if r.ImageOnlyPages > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d pages are images without text.", r.ImageOnlyPages, len(doc.pages)))
	}
}

// pageLines returns the lines of a page, with words that were divided at line
// ends put together (PDFium marks these places with U+0002 or U+FFFE) and rows
// of dots shortened.
func pageLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for _, mark := range []string{"\x02", "\ufffe"} {
		text = strings.ReplaceAll(text, mark+"\n", "")
		text = strings.ReplaceAll(text, mark, "")
	}
	var lines []string
	for line := range strings.SplitSeq(Clean(text), "\n") {
		line = strings.TrimSpace(shortenDots(line))
		if line != "" && changesLine([]byte(line)) {
			line = `\` + line
		}
		lines = append(lines, line)
	}
	return lines
}

// shortenDots replaces the dots between an entry of a table of contents and its
// page number.
func shortenDots(line string) string {
	if !strings.Contains(line, "...") && !strings.Contains(line, ". . .") {
		return line
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		dots, end := 0, i
		for end < len(line) && (line[end] == '.' || line[end] == ' ') {
			if line[end] == '.' {
				dots++
			}
			end++
		}
		if dots > 4 {
			b.WriteString(" … ")
		} else {
			end = max(end, i+1)
			b.WriteString(line[i:end])
		}
		i = end
	}
	return strings.ReplaceAll(b.String(), "  ", " ")
}

// dropRunningLines removes page numbers and the headers and footers that more
// than half of the pages repeat.
func dropRunningLines(pages [][]string) {
	const edge, fewest = 2, 4
	seen := map[string]int{}
	for _, lines := range pages {
		for _, i := range edgeLines(lines, edge) {
			seen[runningKey(lines[i])]++
		}
	}
	for _, lines := range pages {
		for _, i := range edgeLines(lines, edge) {
			key := runningKey(lines[i])
			if key == "#" && len(pages) > 1 || len(pages) >= fewest && 2*seen[key] > len(pages) {
				lines[i] = ""
			}
		}
	}
}

// edgeLines returns the first and last n lines that are not empty.
func edgeLines(lines []string, n int) []int {
	var filled []int
	for i, line := range lines {
		if line != "" {
			filled = append(filled, i)
		}
	}
	if len(filled) <= 2*n {
		return filled
	}
	return append(filled[:n:n], filled[len(filled)-n:]...)
}

// runningKey is the same for lines that differ in numbers only.
func runningKey(line string) string {
	var b strings.Builder
	digit := false
	for _, c := range line {
		if unicode.IsDigit(c) {
			if !digit {
				b.WriteByte('#')
			}
			digit = true
			continue
		}
		digit = false
		b.WriteRune(c)
	}
	return b.String()
}

// withHeadings makes headings of the lines, or two lines, that the outline's
// entries for the page name.
func withHeadings(lines []string, entries []bookmark) []string {
	if len(entries) == 0 {
		return lines
	}
	out := make([]string, 0, len(lines)+2*len(entries))
	for i := 0; i < len(lines); i++ {
		level, used := 0, 0
		for k, e := range entries {
			if e.level == 0 {
				continue
			}
			if used = titleLines(lines[i:], e.title); used > 0 {
				level = e.level
				entries[k].level = 0 // each entry names one heading
				break
			}
		}
		if used == 0 {
			out = append(out, lines[i])
			continue
		}
		heading := strings.TrimPrefix(strings.Join(lines[i:i+used], " "), `\`)
		out = append(out, "", strings.Repeat("#", level)+" "+heading, "")
		i += used - 1
	}
	return out
}

// titleLines returns how many lines at the start are the title, up to three.
// The line may carry a number that the title lacks, or the other way round.
func titleLines(lines []string, title string) int {
	want := titleKey(title)
	if want == "" {
		return 0
	}
	for n := range min(3, len(lines)) {
		if lines[n] == "" {
			return 0
		}
		switch got := titleKey(strings.Join(lines[:n+1], " ")); {
		case got == want:
			return n + 1
		case len(got) > len(want):
			return 0
		}
	}
	return 0
}

// titleKey is the same for a title with and without its number.
func titleKey(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimLeft(s, "\\0123456789. \t")
	for _, word := range []string{"chapter ", "appendix ", "section "} {
		if rest, ok := strings.CutPrefix(s, word); ok {
			s = strings.TrimLeft(rest, "0123456789.: \t")
		}
	}
	var b strings.Builder
	for _, c := range s {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// withNumberedHeadings makes headings of lines such as "3.8.1. Purpose" in a
// document without an outline.
func withNumberedHeadings(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		if level := numberedLevel(line); level > 0 {
			line = strings.Repeat("#", level) + " " + line
			out = append(out, "", line, "")
			continue
		}
		out = append(out, line)
	}
	return out
}

// numberedLevel returns the level of a line that begins with a number of two to
// five parts and reads like a title, or 0.
func numberedLevel(line string) int {
	number, title, ok := strings.Cut(line, " ")
	if !ok || len(line) > 100 || len(title) < 3 || strings.Contains(title, "…") {
		return 0
	}
	parts := strings.Split(strings.TrimSuffix(number, "."), ".")
	if len(parts) < 2 || len(parts) > 5 {
		return 0
	}
	for _, part := range parts {
		if len(part) == 0 || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return 0
		}
	}
	first := []rune(title)[0]
	if !unicode.IsUpper(first) && first != '/' || strings.ContainsAny(title[len(title)-1:], ".,;:") {
		return 0
	}
	return len(parts)
}

// joinLines joins lines with at most one empty line between two.
func joinLines(lines []string) string {
	var b strings.Builder
	empty := true
	for _, line := range lines {
		if line == "" && empty {
			continue
		}
		empty = line == ""
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
